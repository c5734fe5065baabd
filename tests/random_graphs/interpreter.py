"""What a recipe should do, step by step: the rules of a run, written down as plainly as they can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from orchestrator.authoring.graph import NodeName, item_name

from .recipe import Condition, Element, Operand, Recipe, Ref, Step
from .stages import RETRIES

Value: TypeAlias = "int | bool | Sequence[Value] | dict[str, Value]"

SUCCEEDED, FAILED = frozenset({"succeeded"}), frozenset({"failed"})
SKIPPED, UPSTREAM_FAILED = frozenset({"skipped"}), frozenset({"upstream_failed"})


@dataclass(frozen=True)
class Call:
    """What a node or an item gives (None: it fails), and how often its function is called."""

    value: Value | None
    calls: int = 1


@dataclass(frozen=True)
class Expected:
    """How a node, an item or a map ends.

    Where it needs both a failed and a skipped node, whichever comes first decides.
    """

    states: frozenset[str]
    value: Value | None = None  #: of a map: what its items gave that succeeded
    call: Call | None = None  #: of a node or an item that runs
    items: tuple[Expected, ...] = ()  #: of a map that runs
    #: How else a node may end that needs all of it: an item that it would have followed had failed.
    otherwise: frozenset[str] = frozenset()

    @property
    def succeeded(self) -> bool:
        return self.states == SUCCEEDED

    @property
    def failed(self) -> bool:
        return self.states == FAILED

    def parts(self, name: NodeName) -> Iterator[tuple[NodeName, Expected]]:
        """All items of a map by their names, and of those that are maps theirs; else itself."""
        if not self.items:
            yield name, self
        for index, item in enumerate(self.items):
            yield from item.parts(item_name(name, index))

    def causes(self, name: NodeName) -> Iterator[NodeName]:
        """The nodes and items whose failures are not tolerated."""
        if self.call is not None and self.call.value is None:
            yield name
        elif self.failed:
            for index, item in enumerate(self.items):
                yield from item.causes(item_name(name, index))


@dataclass(frozen=True)
class Interpretation:
    """How a run ends."""

    nodes: Mapping[str, Expected]
    causes: frozenset[str]  #: nodes and items, one of which the run's error names
    failures: tuple[str, ...]  #: all nodes and items that fail, tolerated or not, in order of their names
    ambiguous: bool = False  #: how it ends depends on what comes first

    @property
    def failed(self) -> bool:
        return bool(self.causes)


@dataclass(frozen=True)
class _View:
    """What is seen of the steps before one: in a copy of a mapped pipeline, what that copy has of them."""

    recipe: Recipe
    ends: Sequence[Expected]
    elements: Mapping[int, object] = field(default_factory=dict)  #: by mapped pipeline

    @property
    def depth(self) -> int:
        """How many mapped pipelines it is a copy of."""
        return len(self.elements)

    def of_item(self, scope: int, index: int, element: object, deeper: Collection[int]) -> _View:
        """What a copy sees, which has items of its own of the steps that are `deeper`."""
        ends = [end.items[index] if number in deeper else end for number, end in enumerate(self.ends)]
        return _View(self.recipe, ends, {**self.elements, scope: element})

    def value(self, operand: Operand) -> object:
        match operand:
            case Element(scope):
                return self.elements[scope]
            case Ref(step, part):
                whole = self.ends[step].value
                return whole[part] if isinstance(whole, dict) else whole
            case tuple():
                return [self.value(each) for each in operand]
        return operand

    def holds(self, condition: Condition) -> bool:
        return bool(self.value(condition.of)) != condition.negated


def interpret(recipe: Recipe) -> Interpretation:
    """Follow the rules; every node that may run does, whatever fails beside it."""
    ends: list[Expected] = []
    causes: set[str] = set()
    failures: list[str] = []
    ambiguous = False
    for number, (step, name) in enumerate(zip(recipe.steps, recipe.names, strict=True)):
        end = _end_of(number, _View(recipe, ends), recipe.around(step.scope))
        ends.append(end)
        ambiguous = ambiguous or _is_ambiguous(end)
        parts = dict(end.parts(NodeName(name)))
        failures += [each for each, part in parts.items() if part.call is not None and part.failed]
        causes.update(end.causes(NodeName(name)))
    nodes = dict(zip(recipe.names, ends, strict=True))
    return Interpretation(nodes, frozenset(causes), tuple(sorted(failures)), ambiguous)


def _is_ambiguous(end: Expected) -> bool:
    return bool(end.items) and (len(end.states) > 1 or any(map(_is_ambiguous, end.items)))


def _end_of(number: int, view: _View, around: tuple[int, ...]) -> Expected:
    """How a step ends; `around` are the mapped pipelines around it of which the view is of no copy yet."""
    if around:
        return _end_of_copies(number, view, around)
    step, shared = view.recipe.steps[number], _indexes_shared(number, view.recipe)
    followed = next((need for need in shared if shared[need] > view.depth), None)
    if followed is not None and not view.ends[followed].items:
        followed = None
    without = _without(view.ends[need] for need in shared if need != followed)
    sources = view.ends[followed].items if followed is not None else ()
    otherwise = frozenset({"upstream_failed"} if any(item.value is None for item in sources) else ())
    if without:
        return Expected(without, otherwise=otherwise)
    if not all(map(view.holds, step.conditions)):
        return Expected(SKIPPED, otherwise=otherwise)
    given = [item.value for item in sources] if followed is not None else view.value(step.value)
    found = any(view.ends[other].succeeded and _is_twin(step, other) for other in step.after)
    if not step.mapped:
        return _called(_call(step, given, found=found))
    assert isinstance(given, list)
    items = tuple(
        Expected(UPSTREAM_FAILED) if each is None else _called(_call(step, each, found=found))
        for each in given
    )
    return _whole(items, step.tolerate, upstream=any(item.call is None for item in items))


def _called(call: Call) -> Expected:
    return Expected(FAILED if call.value is None else SUCCEEDED, call.value, call=call)


def _without(needed: Iterable[Expected]) -> frozenset[str]:
    """How a node may end that needs these, if it cannot run."""
    states = {state for need in needed for state in need.states | need.otherwise if state != "succeeded"}
    return frozenset("skipped" if state == "skipped" else "upstream_failed" for state in states)


def _whole(
    items: tuple[Expected, ...], tolerate: float, *, upstream: bool, otherwise: frozenset[str] = frozenset()
) -> Expected:
    """How a map ends with these items; `upstream`: some could not run for a failure that is not tolerated."""
    if sum(item.failed for item in items) > tolerate * len(items):
        return Expected(FAILED, items=items, otherwise=otherwise)
    if upstream:
        return Expected(UPSTREAM_FAILED, items=items, otherwise=otherwise)
    values = [item.value for item in items if item.value is not None]
    return Expected(SUCCEEDED, values, items=items, otherwise=otherwise)


def _end_of_copies(number: int, view: _View, around: tuple[int, ...]) -> Expected:
    """A step of a mapped pipeline: in each copy it does what a step does that stands for itself."""
    recipe, step, (scope, *inner) = view.recipe, view.recipe.steps[number], around
    shared = _indexes_shared(number, recipe)
    deeper = [need for need in shared if shared[need] > view.depth]
    otherwise = frozenset({"upstream_failed"} if any(_hurts(view.ends[need]) for need in deeper) else ())
    without = _without(view.ends[need] for need in shared if need not in deeper)
    without |= _without(end for end in (view.ends[need] for need in deeper) if not _is_expanded(end))
    if without:
        return Expected(without, otherwise=otherwise)
    body = recipe.body(scope)
    if not all(view.holds(condition) for condition in step.conditions if condition.of.step not in body):
        return Expected(SKIPPED, otherwise=otherwise)
    elements = _elements(scope, view, deeper) if scope in _lists_of(step, recipe) else None
    count = len(view.ends[deeper[0]].items) if elements is None else len(elements)
    items, upstream, maybe = [], False, False
    for index in range(count):
        copy = view.of_item(scope, index, elements[index] if elements else None, deeper)
        missing = [
            need
            for need in deeper
            if not (_is_expanded if shared[need] > view.depth + 1 else _has_succeeded)(copy.ends[need])
        ]
        if missing:
            items.append(Expected(_without(copy.ends[need] for need in missing)))
            hurt = [need for need in missing if copy.ends[need].states != SKIPPED]
            grave = any(not view.ends[need].succeeded for need in hurt)
            mixed = len(items[-1].states) > 1
            upstream, maybe = upstream or (grave and not mixed), maybe or (grave and mixed)
        else:
            items.append(_end_of(number, copy, tuple(inner)))
            upstream = upstream or items[-1].states == UPSTREAM_FAILED
    tolerate = 0.0 if inner or step.mapped else step.tolerate
    whole = _whole(tuple(items), tolerate, upstream=upstream, otherwise=otherwise)
    unclear = whole.succeeded and maybe
    return replace(whole, states=SUCCEEDED | UPSTREAM_FAILED) if unclear else whole


def _is_expanded(end: Expected) -> bool:
    return bool(end.items) or end.succeeded


def _has_succeeded(end: Expected) -> bool:
    return end.succeeded


def _lists_of(step: Step, recipe: Recipe) -> set[int]:
    """The mapped pipelines around a step through whose lists it goes: no other step tells it their length."""
    found: set[int] = set()
    for scope in reversed(recipe.around(step.scope)):
        given = [step.value, *(recipe.scopes[each] for each in found)]
        needs = _needs(step) | {ref for each in found for ref in _refs(recipe.scopes[each])}
        takes_elements = any(Element(scope) in _operands(each) for each in given)
        if takes_elements or not needs & {*recipe.body(scope)}:
            found.add(scope)
    return found


def _hurts(end: Expected) -> bool:
    """Whether a failure that is not tolerated keeps what needs all of a map from running."""
    return bool(end.states - SUCCEEDED - SKIPPED or end.otherwise)


def _partial_depths(number: int, recipe: Recipe) -> set[int]:
    """The depth of a map's items of which some may be left out."""
    step = recipe.steps[number]
    around = recipe.around(step.scope)
    found = {len(around) + step.mapped} if step.tolerate else set()
    for condition in step.conditions:
        found.add(recipe.shared(step.scope, recipe.steps[condition.of.step].scope))
    for need, shared in _indexes_shared(number, recipe).items():
        found |= {depth for depth in _partial_depths(need, recipe) if depth <= shared}
    return found - {0}


def _elements(scope: int, view: _View, deeper: Collection[int]) -> list[object]:
    """The elements that a mapped pipeline goes through; None for those that there are not."""
    through = view.recipe.scopes[scope]
    if isinstance(through, Ref) and through.step in deeper:
        return [item.value for item in view.ends[through.step].items]
    found = view.value(through)
    assert isinstance(found, list)
    return found


def _indexes_shared(number: int, recipe: Recipe) -> dict[int, int]:
    """What a step needs, each with the number of indexes that an item shares with what it takes of that."""
    step = recipe.steps[number]
    around = recipe.around(step.scope)
    through = [(recipe.scopes[scope], around.index(scope) + 1) for scope in _lists_of(step, recipe)]
    plain = {condition.of.step for condition in step.conditions} | set(step.after)
    if step.mapped:
        through.append((step.value, len(around) + 1))
    else:
        plain |= _refs(step.value)
    found = {need: recipe.shared(step.scope, recipe.steps[need].scope) for need in plain}
    for operand, depth in through:
        for need in _refs(operand):
            shared = recipe.shared(step.scope, recipe.steps[need].scope)
            outside = min(shared, depth - 1)
            own = isinstance(operand, Ref) and outside == depth - 1 and _depth(need, recipe) >= depth
            indexes = depth if own and depth not in _partial_depths(need, recipe) else outside
            found[need] = min(found.get(need, indexes), indexes)
    return dict(sorted(found.items()))


def _depth(number: int, recipe: Recipe) -> int:
    """How many indexes an item of a step has that runs."""
    step = recipe.steps[number]
    return len(recipe.around(step.scope)) + step.mapped


def _operands(operand: Operand) -> tuple[int | Ref | Element, ...]:
    return operand if isinstance(operand, tuple) else (operand,)


def _refs(operand: Operand) -> set[int]:
    return {each.step for each in _operands(operand) if isinstance(each, Ref)}


def _needs(step: Step) -> set[int]:
    return _refs(step.value) | {condition.of.step for condition in step.conditions} | set(step.after)


def _is_twin(step: Step, other: int) -> bool:
    """Whether a cached step finds what another one, which has the same key, has left."""
    return step.stage == "cached" and step.setting == f"s{other}"


def _call(step: Step, given: object, *, found: bool) -> Call:
    match step.stage, given, step.setting:
        case "double", int(value), _:
            return Call(2 * value + 1)
        case "picky", int(value), int(bad):
            return Call(None if value % 4 < bad else value + 100)
        case "flaky", int(value), int(modulus):
            failures = value % modulus
            return Call(None, 1 + RETRIES) if failures > RETRIES else Call(value + 1000, 1 + failures)
        case "cached", int(value), _:
            return Call(3 * value, 0 if found else 1)
        case "add", list(values), _:
            return Call(sum(values) % 1009)
        case "flatten", list(lists), _:
            return Call([value for values in lists for value in values][:6])
        case "spread", int(value), int(most):
            return Call(list(range(value, value + value % (most + 1))))
        case "take_apart", int(value), _:
            low = value // 2
            even, several = value % 2 == 0, list(range(value % 4))
            return Call({"low": low, "high": value - low, "even": even, "several": several})
        case "is_even", int(value), _:
            return Call(value % 2 == 0)
    raise AssertionError(f"no rule for {step.stage} of {given!r}")
