"""Reads what nodes and pipelines have returned from the store, by their stages' annotations."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from orchestrator.archive.rounds import Round
from orchestrator.artifacts import ArtifactStore, NoSuchPart, decode, decode_as_stored
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.graph import (
    Constant,
    Fields,
    Gather,
    Graph,
    Input,
    NodeName,
    Not,
    Output,
    Result,
    StageName,
    indexes_of,
    node_of,
)
from orchestrator.authoring.stage import stages
from orchestrator.client.errors import NoOutput
from orchestrator.client.run_lookup import KnownRun
from orchestrator.lifecycle.discovery import prefer_working_folder
from orchestrator.lifecycle.progress import progress_of
from orchestrator.runs.states import NodeState


@dataclass(frozen=True)
class Outputs:
    """What the nodes of a run have returned."""

    known: KnownRun
    store: ArtifactStore

    def result(self) -> object:
        """What the pipeline returned, put together as it was written there.

        A part whose node was skipped is None. Raises NoOutput if it returns nothing, or a node has not
        succeeded.
        """
        result = self._graph.result
        if result is None:
            names = ", ".join(node.name for node in self._graph.nodes[:20])
            raise NoOutput(
                f"the pipeline '{self._graph.pipeline}' returns nothing that a stage gives",
                hint=f"name a node ({names}), or have the pipeline return what it is for",
            )
        return self._value(result)

    def output(self, name: str) -> object:
        """What a node or an item `fit[3]` returned; of a map the list of what its items did, in order.

        `name` may go on with a field, as in `split.train`. Raises UnknownNode, NoOutput.
        """
        node, path = self._named(name)
        return self._read(node, path)

    @property
    def _graph(self) -> Graph:
        return self.known.graph

    @cached_property
    def _round(self) -> Round:
        return Round.latest(self.store, self.known.record.id)

    def _named(self, name: str) -> tuple[NodeName, tuple[str, ...]]:
        """A node or item, and the path to a part of its output."""
        head, path = name, list[str]()
        while node_of(head) not in self._graph and "." in head:
            head, _, last = head.rpartition(".")
            path.insert(0, last)
        if node_of(head) not in self._graph:
            self.known.nodes(name)  # raises UnknownNode with what there is
        return NodeName(head), tuple(path)

    def _value(self, result: Result | Input) -> object:
        match result:
            case Fields(items):
                return {name: self._value(value) for name, value in items.items()}
            case Gather(items):
                return [self._value(value) for value in items]
            case Constant(value):
                return value
            case Output(node, path):
                return None if self._was_skipped(node) else self._read(node, path)
            case Not(of):
                negated = self._value(of)
                return None if negated is None else not negated
        raise TypeError(f"a pipeline cannot return {result}")

    def _was_skipped(self, node: NodeName) -> bool:
        return any(each.name == node and each.state is NodeState.SKIPPED for each in self.known.record.nodes)

    def _read(self, name: NodeName, path: tuple[str | int, ...]) -> object:
        node, trees = self._graph[node_of(name)], self._trees(name)
        given = indexes_of(name)
        if len(given) > node.depth:
            self.known.nodes(name)  # raises UnknownNode
        if len(given) == node.depth:
            if name not in trees:
                raise self._missing(name)
            return self._decode(node.stage, trees[name], path)
        self._require_all(name)
        items = {each: tree for each, tree in trees.items() if indexes_of(each)[: len(given)] == given}
        values = {indexes_of(each): self._decode(node.stage, tree, path) for each, tree in items.items()}
        maps = [indexes_of(each.name) for each in self.known.record.nodes if node_of(each.name) == node.name]
        empty = [each for each in maps if len(given) < len(each) < node.depth and each[: len(given)] == given]
        return _nested(values, empty, len(given), node.depth)

    def _trees(self, name: NodeName) -> Mapping[NodeName, Tree]:
        run, node = self.known.record.id, node_of(name)
        return progress_of(run, self._graph, self.store, self._round, only=node).outputs

    def _require_all(self, name: NodeName) -> None:
        """Raise NoOutput unless the map is done, with all of its items that have to succeed."""
        records = self.known.nodes(name) if not indexes_of(name) else ()
        open_or_failed = (each for each in records if not each.state.over or each.state is NodeState.FAILED)
        tolerated = self._graph[node_of(name)].policy.tolerate
        for each in open_or_failed:
            if not (tolerated and each.state is NodeState.FAILED):
                raise self._missing(NodeName(each.name))

    def _missing(self, name: NodeName) -> NoOutput:
        run = self.known.record.id
        found = [each for each in self.known.record.nodes if each.name == name]
        if not found:
            self.known.nodes(name)  # raises UnknownNode
            return NoOutput(f"'{name}' of run {run} has no output")
        record = found[0]
        if record.state is NodeState.FAILED:
            error = (record.error or "").strip().partition("\n")[0]
            return NoOutput(
                f"'{name}' of run {run} has no output: it failed{f' ({error})' if error else ''}",
                hint=f"see: orchestrator logs {run} '{name}'",
            )
        if record.state is NodeState.SUCCEEDED:
            return NoOutput(
                f"the output of '{name}' of run {run} is not in the store any more",
                hint=f"`orchestrator resume {run}` makes it anew",
            )
        if record.state.over:
            return NoOutput(f"'{name}' of run {run} has no output: {record.state.value.replace('_', ' ')}")
        going_on = "it has not succeeded yet" if self.known.live else "it was not finished"
        return NoOutput(
            f"'{name}' of run {run} has no output: {going_on} ({record.state.value})",
            hint=f"see: orchestrator show {run}",
        )

    def _decode(self, stage: StageName, tree: Tree, path: Sequence[str | int]) -> object:
        hint = returned_by(stage)
        wrong: NoSuchPart | None = None
        for each in product(*map(_meanings, path)):
            try:
                if hint is None:
                    return decode_as_stored(tree, self.store, each)
                return decode(tree, hint, self.store, each)
            except NoSuchPart as error:
                wrong = wrong or error
        raise wrong or NoSuchPart("there is no such part")


def _meanings(part: str | int) -> tuple[str | int, ...]:
    """What a part of a name may be: `2` is a place in a list, or else a name in a dict."""
    return (int(part), part) if isinstance(part, str) and part.isdecimal() else (part,)


def returned_by(stage: StageName) -> object | None:
    """The annotation of what a stage returns; None if its code cannot be imported here."""
    if stage not in stages:
        prefer_working_folder()
        try:
            importlib.import_module(stage.rpartition(".")[0])
        except Exception:  # noqa: BLE001 - whatever is wrong with code that is only wanted for its annotation
            return None
    return hints_of(stages[stage].function).get("return") if stage in stages else None


def _nested(
    values: Mapping[tuple[int, ...], object], empty: Iterable[tuple[int, ...]], depth: int, of: int
) -> list[object]:
    """Items by their indexes as a list, of lists where items are maps, some of which are `empty`."""
    if depth + 1 == of:
        return [values[indexes] for indexes in sorted(values)]
    groups: dict[int, dict[tuple[int, ...], object]] = {}
    for indexes, value in values.items():
        groups.setdefault(indexes[depth], {})[indexes] = value
    inner = [indexes for indexes in empty if len(indexes) > depth]
    for indexes in inner:
        groups.setdefault(indexes[depth], {})
    return [
        _nested(groups[index], [each for each in inner if each[depth] == index], depth + 1, of)
        for index in sorted(groups)
    ]
