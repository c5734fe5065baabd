"""What a recipe should do, step by step: the rules of a run, written down as plainly as they can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from orchestrator.authoring.graph import NodeName, item_name

from .recipe import Element, Operand, Recipe, Ref, Step
from .stages import RETRIES

Value: TypeAlias = "int | bool | Sequence[Value] | dict[str, Value]"

SUCCEEDED = frozenset({"succeeded"})


@dataclass(frozen=True)
class Call:
    """One node or item: what it gives (None: it fails), and how often its function is called."""

    value: Value | None
    calls: int = 1
    #: How it may end without being run: an item that it takes has not succeeded, or a condition is false.
    without: frozenset[str] = frozenset()

    @property
    def failed(self) -> bool:
        return self.value is None and not self.without

    @property
    def states(self) -> frozenset[str]:
        return self.without or (frozenset({"failed"}) if self.failed else SUCCEEDED)


@dataclass(frozen=True)
class Expected:
    """How a node ends. Where it needs both a failed and a skipped node, whichever comes first decides."""

    states: frozenset[str]
    value: Value | None = None  #: of a map: what its items gave that succeeded
    call: Call | None = None  #: of a node that runs and is no map
    items: tuple[Call, ...] = ()  #: of a map that runs
    #: How else a node may end that needs all of it: an item that it would have followed had failed.
    otherwise: frozenset[str] = frozenset()

    @property
    def succeeded(self) -> bool:
        return self.states == SUCCEEDED


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


def interpret(recipe: Recipe) -> Interpretation:
    """Follow the rules; every node that may run does, whatever fails beside it."""
    ends: list[Expected] = []
    causes: set[str] = set()
    failures: list[str] = []
    ambiguous = False
    for step, name in zip(recipe.steps, recipe.names, strict=True):
        end = _end_of(step, ends, recipe) if step.scope is None else _end_of_copies(step, ends, recipe)
        ambiguous = ambiguous or (len(end.states) > 1 and bool(end.items))
        ends.append(end)
        failed = [item_name(NodeName(name), index) for index, item in enumerate(end.items) if item.failed]
        if end.call is not None and end.call.failed:
            failed = [NodeName(name)]
        failures += failed
        causes.update(failed if end.states == {"failed"} else ())
    nodes = dict(zip(recipe.names, ends, strict=True))
    return Interpretation(nodes, frozenset(causes), tuple(sorted(failures)), ambiguous)


def _end_of(step: Step, ends: Sequence[Expected], recipe: Recipe) -> Expected:
    followed = _followed(step, ends, recipe)
    without = _without(ends[number] for number in _needs(step) if number != followed)
    sources = ends[followed].items if followed is not None else ()
    otherwise = frozenset({"upstream_failed"} if any(item.value is None for item in sources) else ())
    if without:
        return Expected(without, otherwise=otherwise)
    if any(bool(_value(condition.of, ends)) == condition.negated for condition in step.conditions):
        return Expected(frozenset({"skipped"}), otherwise=otherwise)
    given = [item.value for item in sources] if followed is not None else _value(step.value, ends)
    found = any(ends[other].succeeded and _is_twin(step, other) for other in step.after)
    if not step.mapped:
        call = _call(step, given, found=found)
        return Expected(call.states, call.value, call=call)
    assert isinstance(given, list)
    items = tuple(BLOCKED if each is None else _call(step, each, found=found) for each in given)
    return _whole(step, items, upstream=any(item.without for item in items), otherwise=frozenset())


BLOCKED = Call(None, 0, frozenset({"upstream_failed"}))
SKIPPED = Call(None, 0, frozenset({"skipped"}))


def _without(needed: Iterable[Expected]) -> frozenset[str]:
    """How a node may end that needs these, if it cannot run."""
    states = {state for need in needed for state in need.states | need.otherwise if state != "succeeded"}
    return frozenset("skipped" if state == "skipped" else "upstream_failed" for state in states)


def _whole(step: Step, items: tuple[Call, ...], *, upstream: bool, otherwise: frozenset[str]) -> Expected:
    """How a map ends with these items; `upstream`: some could not run for a failure that is not tolerated."""
    if sum(item.failed for item in items) > step.tolerate * len(items):
        return Expected(frozenset({"failed"}), items=items, otherwise=otherwise)
    if upstream:
        return Expected(frozenset({"upstream_failed"}), items=items, otherwise=otherwise)
    values = [item.value for item in items if item.value is not None]
    return Expected(SUCCEEDED, values, items=items, otherwise=otherwise)


def _end_of_copies(step: Step, ends: Sequence[Expected], recipe: Recipe) -> Expected:
    """A step of a mapped pipeline: for each copy what a step does that stands for itself."""
    assert step.scope is not None
    body = recipe.body(step.scope)
    own = [number for number in sorted(_needs(step)) if number in body]
    over = recipe.scopes[step.scope]
    through = (
        over if not own or Element() in _operands(step.value) else ()
    )  # else others tell how many there are
    followed = _followed_list(through, _needs(step), ends, recipe)
    behind = [ends[number] for number in own + ([followed] if followed is not None else [])]
    otherwise = frozenset({"upstream_failed"} if any(_hurts(each) for each in behind) else ())
    needed = {*_needs(step), *_refs(through)} - {*own, followed}
    without = _without([ends[number] for number in needed]) | _without(
        each for each in (ends[number] for number in own) if not each.items and not each.succeeded
    )
    if without:
        return Expected(without, otherwise=otherwise)
    outer = [each for each in step.conditions if each.of.step not in body]
    if any(bool(_value(condition.of, ends)) == condition.negated for condition in outer):
        return Expected(frozenset({"skipped"}), otherwise=otherwise)
    elements = [item.value for item in ends[followed].items] if followed is not None else _value(over, ends)
    count = len(ends[own[0]].items) if own else len(elements) if isinstance(elements, list) else 0
    items, upstream, maybe = [], False, False
    for index in range(count):
        copy = [_of_copy(end, index) if number in body else end for number, end in enumerate(ends)]
        reasons = {number: copy[number].states for number in own if not copy[number].succeeded}
        element = elements[index] if isinstance(elements, list) and through != () else None
        if through != () and element is None:
            items.append(BLOCKED)
            upstream = True
        elif reasons:
            items.append(Call(None, 0, _without([copy[number] for number in reasons])))
            hurt = [number for number, states in reasons.items() if states != {"skipped"}]
            grave = any(not ends[number].succeeded for number in hurt)
            mixed = len(items[-1].without) > 1
            upstream, maybe = upstream or (grave and not mixed), maybe or (grave and mixed)
        elif not all(
            bool(_value(condition.of, copy)) != condition.negated
            for condition in step.conditions
            if condition.of.step in body
        ):
            items.append(SKIPPED)
        else:
            items.append(_call(step, _value(step.value, copy, element), found=False))
    whole = _whole(step, tuple(items), upstream=upstream, otherwise=otherwise)
    unclear = whole.succeeded and maybe
    return replace(whole, states=SUCCEEDED | {"upstream_failed"}) if unclear else whole


def _of_copy(end: Expected, index: int) -> Expected:
    if not end.items:
        return end
    call = end.items[index]
    return Expected(call.states, call.value)


def _hurts(end: Expected) -> bool:
    """Whether a failure that is not tolerated keeps what needs all of a map from running."""
    return bool(end.states - SUCCEEDED - {"skipped"} or end.otherwise)


def _is_partial(number: int, recipe: Recipe) -> bool:
    """Whether a map may succeed without some of its items."""
    step = recipe.steps[number]
    if step.tolerate:
        return True
    if step.scope is None:
        return False
    body = recipe.body(step.scope)
    own = [need for need in _needs(step) if need in body]
    tested = any(condition.of.step in body for condition in step.conditions)
    return tested or any(_is_partial(need, recipe) for need in own)


def _followed(step: Step, ends: Sequence[Expected], recipe: Recipe) -> int | None:
    """The map that a map follows item by item; None where it waits for all items, or that one did not run."""
    waits = {*step.after, *(condition.of.step for condition in step.conditions)}
    return _followed_list(step.value, waits, ends, recipe) if step.mapped else None


def _followed_list(
    through: Operand, waits: Collection[int], ends: Sequence[Expected], recipe: Recipe
) -> int | None:
    if not isinstance(through, Ref) or through.field:
        return None
    source = recipe.steps[through.step]
    is_map = source.mapped or source.scope is not None
    waits_for_all = through.step in waits or _is_partial(through.step, recipe)
    return through.step if is_map and not waits_for_all and ends[through.step].items else None


def _operands(operand: Operand) -> tuple[int | Ref | Element, ...]:
    return operand if isinstance(operand, tuple) else (operand,)


def _refs(operand: Operand) -> set[int]:
    return {each.step for each in _operands(operand) if isinstance(each, Ref)}


def _needs(step: Step) -> set[int]:
    return _refs(step.value) | {condition.of.step for condition in step.conditions} | set(step.after)


def _is_twin(step: Step, other: int) -> bool:
    """Whether a cached step finds what another one, which has the same key, has left."""
    return step.stage == "cached" and step.setting == f"s{other}"


def _value(operand: Operand, ends: Sequence[Expected], element: object = None) -> object:
    match operand:
        case Element():
            return element
        case Ref(step, field):
            whole = ends[step].value
            return whole[field] if isinstance(whole, dict) else whole
        case tuple():
            return [_value(each, ends, element) for each in operand]
    return operand


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
