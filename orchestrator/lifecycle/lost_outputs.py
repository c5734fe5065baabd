"""Finds out what of a run's finished work is lost, and has to be done again before the run can go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.archive.rounds import Round
from orchestrator.artifacts import holds_all
from orchestrator.authoring.graph import Graph, Node, NodeName, Output, group_and_index, item_name, outputs_in
from orchestrator.lifecycle.progress import Progress, progress_of
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import NodeState

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


def lost_work(graph: Graph, progress: Progress, store: ArtifactStore) -> frozenset[NodeName]:
    """The nodes and items of maps that count as done, and must be done again.

    Those are: what has no readable manifest; what has lost a blob that is still needed; and whatever was made
    from either of them, or from maps whose tolerated failures are tried again, since it may not fit what they
    give when they run once more. Blobs that nothing needs any more are not looked at.
    """
    shortened = [
        node for node in graph if node.mapped and node.policy.tolerate and not progress.is_done(node)
    ]
    made_from_fewer = [name for node in shortened for name in graph.successors[node.name]]
    made_from_lost = [name for map in progress.torn for name in _followers_of_torn(graph, map, progress)]
    lost = _with_what_follows(graph, [*progress.unreadable, *made_from_fewer, *made_from_lost])
    sound: set[NodeName] = set()
    while True:
        left = progress.without(lost)
        asked = set(_needed(graph, left)) - sound
        gone = {name for name in asked if not holds_all(left.outputs[name], store)}
        if not gone:
            return frozenset(name for name in lost if progress.has_any_of(name))
        sound |= asked - gone
        lost |= _with_what_follows(graph, gone)


@dataclass(frozen=True)
class Differences:
    """What a run's record and the store do not both have as done."""

    lost: frozenset[NodeName]  #: nodes and items that have succeeded, and of which the store has no output
    forgotten: frozenset[NodeName]  #: nodes and items with an output, which are not over by the record


def differences(record: RunRecord, graph: Graph, store: ArtifactStore) -> Differences:
    """Compare a run's record with the store.

    A power cut makes them differ: what took less than a second is not flushed, and Redis, which may know of
    it all the same, flushes its own file every second.
    """
    own = {node.name for node in graph}  # not those that run after a failure
    succeeded = {
        NodeName(node.name)
        for node in record.nodes
        if node.state is NodeState.SUCCEEDED and group_and_index(node.name)[0] in own
    }
    over = {NodeName(node.name) for node in record.nodes if node.state.over}
    maps = {node.name for node in graph if node.mapped}
    progress = progress_of(record.id, graph, store, Round.read(store, record.id, record.round))
    return Differences(
        lost=frozenset(succeeded - progress.outputs.keys() - maps) | progress.unreadable,
        forgotten=frozenset(progress.outputs.keys() - over),
    )


def lost_outputs(record: RunRecord, graph: Graph, store: ArtifactStore) -> frozenset[NodeName]:
    """The nodes and items that have succeeded by a run's record, and of which the store has no output."""
    return differences(record, graph, store).lost


def _followers_of_torn(graph: Graph, map: NodeName, progress: Progress) -> Iterator[NodeName]:
    """What may have been made from items of a map that are lost."""
    for follower in (graph[name] for name in graph.successors[map]):
        if not _item_by_item(follower, map):
            yield follower.name
            continue
        for index in progress.items_of(follower.name):
            if item_name(map, index) not in progress.outputs:
                yield item_name(follower.name, index)


def _needed(graph: Graph, progress: Progress) -> Iterator[NodeName]:
    """What is done, and is read by what is left."""
    for node in graph:
        if progress.is_done(node):
            continue
        for output in _read_by(node):
            source = graph[output.node]
            if not source.mapped:
                yield from {source.name} & progress.outputs.keys()
                continue
            for index in progress.items_of(source.name):
                if not (_item_by_item(node, source.name) and item_name(node.name, index) in progress.outputs):
                    yield item_name(source.name, index)


def _with_what_follows(graph: Graph, names: Iterable[NodeName]) -> set[NodeName]:
    """These nodes and items, and all that was made from them; an item of a map only for its own followers."""
    found: set[NodeName] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in found:
            continue
        found.add(name)
        group, index = group_and_index(name)
        for follower in map(graph.__getitem__, graph.successors[group]):
            if index is not None and _item_by_item(follower, group):
                stack.append(item_name(follower.name, index))
            elif any(output.node == group for output in _read_by(follower)):
                stack.append(follower.name)
    return found


def _read_by(node: Node) -> Iterator[Output]:
    for value in (*node.inputs.values(), *node.varying.values(), *node.conditions):
        yield from outputs_in(value)


def _item_by_item(node: Node, source: NodeName) -> bool:
    """Whether each item of a map reads that very item of another map, and nothing else of it."""
    taken = [value for value in node.varying.values() if value == Output(source)]
    return bool(taken) and sum(output.node == source for output in _read_by(node)) == len(taken)
