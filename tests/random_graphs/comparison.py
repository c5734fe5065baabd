"""Compares what a run did with what its recipe should do: each difference in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass

from orchestrator.authoring.graph import NodeName, node_of
from orchestrator.runs.record import NodeRecord, RunRecord

from . import stages
from .interpreter import Expected, Interpretation
from .recipe import Recipe, pipeline_of

HANDLERS = ("report", "report_in_vain")
#: So many names are short enough for a value that the record shows.
SHOWN = 50


def differences(
    recipe: Recipe,
    expected: Interpretation,
    record: RunRecord,
    calls: Mapping[str, int],
    *,
    costly: int = 0,
    forgetful: int = 0,
) -> list[str]:
    """Of a run on workers; `costly` faults may each have cost a node an attempt.

    `forgetful` ones may each have made Redis forget all attempts of a node, which are then made again.
    """
    if expected.ambiguous:
        return []
    return [*_Comparison(recipe, expected, record, calls, costly, forgetful).lines()]


class _Comparison:
    def __init__(
        self,
        recipe: Recipe,
        expected: Interpretation,
        record: RunRecord,
        calls: Mapping[str, int],
        costly: int,
        forgetful: int,
    ) -> None:
        self.recipe = recipe
        self.expected = expected
        self.record = record
        self.calls = calls
        self.costly = costly
        self.forgetful = forgetful
        #: A run that fails fast stops whatever has not begun, or has not ended
        self.stopped = recipe.fail_fast and expected.failed
        self.groups: dict[str, list[NodeRecord]] = {}
        for node in record.nodes:
            self.groups.setdefault(node_of(node.name), []).append(node)

    def lines(self) -> Iterator[str]:
        state = "failed" if self.expected.failed else "succeeded"
        if self.record.state != state:
            yield f"the run {self.record.state} instead of {state}: {self.record.error}"
        if self.expected.failed:
            named = str(self.record.error).partition(":")[0]
            if named not in self.expected.causes:
                yield f"the run failed by {named} instead of one of {sorted(self.expected.causes)}"
        for name, end in self.expected.nodes.items():
            yield from self._node(name, end, self.groups.get(name, []))
        if self.recipe.handlers:
            yield from self._handlers()

    def _node(self, name: str, end: Expected, records: list[NodeRecord]) -> Iterator[str]:
        parts, found = dict(end.parts(NodeName(name))), {record.name: record for record in records}
        if not end.items:  # of a map whose items are in the canvas, each ends as the map does
            parts = {NodeName(each): end for each in found}
        elif parts.keys() != found.keys():
            if not self.stopped:
                yield f"{name} is {sorted(found)} instead of {sorted(parts)}"
            return
        for each, part in parts.items():
            yield from self._one(each, part, found[each])

    def _one(self, name: str, end: Expected, record: NodeRecord) -> Iterator[str]:
        cut_short = {"cancelled", "upstream_failed", "skipped"} if self.stopped else set()
        if record.state.value in cut_short:
            return
        if record.state.value not in end.states:
            yield f"{name} is {record.state} instead of {sorted(end.states)}: {record.error}"
        elif end.call is not None and end.call.value is not None and record.value != end.call.value:
            yield f"{name} gave {record.value} instead of {end.call.value}"
        yield from self._called(name, end.call.calls if end.call is not None else 0)

    def _called(self, name: str, times: int) -> Iterator[str]:
        disturbed = self.costly or self.forgetful
        least = min(times, 1) if disturbed else times
        most = times * (1 + self.forgetful) + self.costly if times else 0
        if not least <= self.calls.get(name, 0) <= most:
            yield f"{name} was called {self.calls.get(name, 0)} times instead of {times}"

    def _handlers(self) -> Iterator[str]:
        told, in_vain = (self.groups[name][0] for name in HANDLERS)
        states = (told.state.value, in_vain.state.value)
        wanted = ("succeeded", "failed") if self.expected.failed else ("skipped", "skipped")
        if states != wanted:
            yield f"the handlers are {states} instead of {wanted}"
        for name in HANDLERS:
            yield from self._called(name, int(self.expected.failed))
        if self.expected.failed and not self.stopped:
            heard = [str(self.record.error).partition(":")[0], *self.expected.failures]
            if len(heard) <= SHOWN and told.value != heard:
                yield f"the handler was told {told.value} instead of {heard}"


def local_differences(recipe: Recipe, expected: Interpretation) -> list[str]:
    """Of a run in this process."""
    if expected.ambiguous:
        return []
    stages.calls.clear()
    values: dict[str, object] = {}
    error: Exception | None = None
    try:
        values = pipeline_of(recipe, "local").run_locally()
    except (RuntimeError, OSError) as raised:
        error = raised
    return list(_local(recipe, expected, values, error, Counter(stages.calls)))


def _local(
    recipe: Recipe,
    expected: Interpretation,
    values: Mapping[str, object],
    error: Exception | None,
    calls: Mapping[str, int],
) -> Iterator[str]:
    if (error is not None) != expected.failed:
        yield f"raised {error!r}, though the run should {'fail' if expected.failed else 'succeed'}"
    if not expected.failed:
        wanted = {name: end.value for name, end in expected.nodes.items() if end.succeeded}
        found = {name: _plain(value) for name, value in values.items()}
        if found != wanted:
            yield f"gave {found} instead of {wanted}"
    least: Counter[str] = Counter()
    for name, end in expected.nodes.items():
        least.update({each: part.call.calls for each, part in end.parts(NodeName(name)) if part.call})
    if recipe.handlers and expected.failed:
        least.update(HANDLERS)
    cached = {name for name in least if name.startswith("cached")}  # nothing is cached in a local run
    for name in least.keys() | calls.keys():
        if name in cached and calls.get(name, 0) == 1:
            continue
        stopped = recipe.fail_fast and expected.failed and calls.get(name, 0) <= least[name]
        if calls.get(name, 0) != least[name] and not stopped:
            yield f"{name} was called {calls.get(name, 0)} times instead of {least[name]}"


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    as_dict = getattr(value, "_asdict", None)
    if as_dict is not None:
        return as_dict()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
