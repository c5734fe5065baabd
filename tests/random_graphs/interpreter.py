"""What a recipe should do, step by step: the rules of a run, written down as plainly as they can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .recipe import Operand, Recipe, Ref, Step
from .stages import RETRIES

Value: TypeAlias = "int | bool | list[int] | dict[str, int | bool | list[int]]"


@dataclass(frozen=True)
class Call:
    """One node or item: what it gives (None: it fails), and how often its function is called."""

    value: Value | None
    calls: int = 1
    blocked: bool = False  #: it cannot run, as the item of another map that it takes has not succeeded

    @property
    def failed(self) -> bool:
        return self.value is None and not self.blocked

    @property
    def state(self) -> str:
        if self.blocked:
            return "upstream_failed"
        return "failed" if self.failed else "succeeded"


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
        return self.states == {"succeeded"}


@dataclass(frozen=True)
class Interpretation:
    """How a run ends."""

    nodes: Mapping[str, Expected]
    causes: frozenset[str]  #: nodes and items, one of which the run's error names
    failures: tuple[str, ...]  #: all nodes and items that fail, tolerated or not, in order of their names

    @property
    def failed(self) -> bool:
        return bool(self.causes)


def interpret(recipe: Recipe) -> Interpretation:
    """Follow the rules; every node that may run does, whatever fails beside it."""
    ends: list[Expected] = []
    causes: set[str] = set()
    failures: list[str] = []
    for step, name in zip(recipe.steps, recipe.names, strict=True):
        end = _end_of(step, ends, recipe)
        ends.append(end)
        failed = [f"{name}[{index}]" for index, item in enumerate(end.items) if item.failed]
        if end.call is not None and end.call.failed:
            failed = [name]
        failures += failed
        causes.update(failed if end.states == {"failed"} else ())
    nodes = dict(zip(recipe.names, ends, strict=True))
    return Interpretation(nodes, frozenset(causes), tuple(sorted(failures)))


def _end_of(step: Step, ends: Sequence[Expected], recipe: Recipe) -> Expected:
    followed = _followed(step, ends, recipe)
    needed = [ends[number] for number in _needs(step) if number != followed]
    without = {
        "skipped" if state == "skipped" else "upstream_failed"
        for need in needed
        for state in need.states | need.otherwise
        if state != "succeeded"
    }
    sources = ends[followed].items if followed is not None else ()
    otherwise = frozenset({"upstream_failed"} if any(item.value is None for item in sources) else ())
    if without:
        return Expected(frozenset(without), otherwise=otherwise)
    if any(bool(_value(condition.of, ends)) == condition.negated for condition in step.conditions):
        return Expected(frozenset({"skipped"}), otherwise=otherwise)
    given = [item.value for item in sources] if followed is not None else _value(step.value, ends)
    found = any(ends[other].succeeded and _is_twin(step, other) for other in step.after)
    if not step.mapped:
        call = _call(step, given, found=found)
        return Expected(frozenset({call.state}), call.value, call=call)
    assert isinstance(given, list)
    items = tuple(
        Call(None, 0, blocked=True) if each is None else _call(step, each, found=found) for each in given
    )
    values = [item.value for item in items if isinstance(item.value, int)]
    if sum(item.failed for item in items) > step.tolerate * len(items):
        return Expected(frozenset({"failed"}), items=items)
    if any(item.blocked for item in items):
        return Expected(frozenset({"upstream_failed"}), items=items)
    return Expected(frozenset({"succeeded"}), values, items=items)


def _followed(step: Step, ends: Sequence[Expected], recipe: Recipe) -> int | None:
    """The map that a map follows item by item; None where it waits for all items, or that one did not run."""
    if not step.mapped or not isinstance(step.value, Ref):
        return None
    number = step.value.step
    source = recipe.steps[number]
    waits = number in step.after or any(condition.of.step == number for condition in step.conditions)
    return number if source.mapped and not source.tolerate and not waits and ends[number].items else None


def _needs(step: Step) -> set[int]:
    given = step.value if isinstance(step.value, tuple) else (step.value,)
    refs = [*(each for each in given if isinstance(each, Ref)), *(each.of for each in step.conditions)]
    return {ref.step for ref in refs} | set(step.after)


def _is_twin(step: Step, other: int) -> bool:
    """Whether a cached step finds what another one, which has the same key, has left."""
    return step.stage == "cached" and step.setting == f"s{other}"


def _value(operand: Operand, ends: Sequence[Expected]) -> object:
    match operand:
        case Ref(step, field):
            whole = ends[step].value
            return whole[field] if isinstance(whole, dict) else whole
        case tuple():
            return [_value(each, ends) for each in operand]
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
