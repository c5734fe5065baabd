"""Find lost outputs of a run, and the nodes that must run again before the run can continue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.archive.rounds import Round
from orchestrator.artifacts import holds_all
from orchestrator.authoring.graph import (
    Graph,
    Node,
    NodeName,
    Output,
    indexes_of,
    item_at,
    node_of,
    outputs_in,
)
from orchestrator.lifecycle.progress import Progress, progress_of
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import NodeState

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


def lost_work(graph: Graph, progress: Progress, store: ArtifactStore) -> frozenset[NodeName]:
    """Return the nodes and map items that count as done and must run again.

    These are: those without a readable manifest; those that have lost a blob that is still needed; and
    everything made from either, or from maps that left items out which are run again, since it may not match
    the new outputs. Blobs that are not needed any more are not checked.
    """
    made_from_fewer = [
        follower
        for map, depth in sorted(graph.partial)
        if not progress.is_done(graph[map])
        for follower in graph.successors[map]
        if graph.shared(follower, map) < depth
    ]
    torn = (NodeName(folder.partition("@")[0]) for folder in progress.torn)
    made_from_lost = [name for map in torn for name in _followers_of_torn(graph, map, progress)]
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
    """Nodes and items that only one of a run's record and the store has as done."""

    lost: frozenset[NodeName]  #: nodes and items that have succeeded but have no output in the store
    forgotten: frozenset[NodeName]  #: nodes and items with an output that the record has as open


def differences(record: RunRecord, graph: Graph, store: ArtifactStore) -> Differences:
    """Compare a run's record with the store.

    A power cut makes them differ: outputs of less than a second's work are not flushed to disk although Redis
    may know them, and Redis flushes its own file only every second.
    """
    own = {node.name for node in graph}  # without failure handlers
    succeeded = {
        NodeName(node.name)
        for node in record.nodes
        if node.state is NodeState.SUCCEEDED and node_of(node.name) in own
    }
    over = {NodeName(node.name) for node in record.nodes if node.state.over}
    maps = {name for name in succeeded if len(indexes_of(name)) < graph[node_of(name)].depth}
    progress = progress_of(record.id, graph, store, Round.read(store, record.id, record.round))
    return Differences(
        lost=frozenset(succeeded - progress.outputs.keys() - maps) | progress.unreadable,
        forgotten=frozenset(progress.outputs.keys() - over),
    )


def lost_outputs(record: RunRecord, graph: Graph, store: ArtifactStore) -> frozenset[NodeName]:
    """Return the nodes and items that have succeeded by a run's record but have no output in the store."""
    return differences(record, graph, store).lost


def _followers_of_torn(graph: Graph, map: NodeName, progress: Progress) -> Iterator[NodeName]:
    """Yield the nodes and items that may have been made from lost items of a map."""
    source = node_of(map)
    for follower in (graph[name] for name in graph.successors[source]):
        shared = graph.shared(follower.name, source)
        if shared < graph[source].depth:
            yield _same_item(follower, map, shared)
            continue
        for name in progress.items_of(follower.name):
            indexes = indexes_of(name)[:shared]
            if indexes[:-1] == indexes_of(map) and item_at(source, indexes) not in progress.outputs:
                yield item_at(follower.name, indexes)


def _needed(graph: Graph, progress: Progress) -> Iterator[NodeName]:
    """Yield the finished nodes and items whose outputs the remaining nodes read."""
    for node in graph:
        if progress.is_done(node):
            continue
        for output in _read_by(node):
            source = graph[output.node]
            if not source.mapped:
                yield from {source.name} & progress.outputs.keys()
                continue
            shared = graph.shared(node.name, source.name)
            for name in progress.items_of(source.name):
                if not (shared == node.depth and _same_item(node, name, shared) in progress.outputs):
                    yield name


def _with_what_follows(graph: Graph, names: Iterable[NodeName]) -> set[NodeName]:
    """Return these nodes and items and all made from them; for a map item, only what was made from it."""
    found: set[NodeName] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in found:
            continue
        found.add(name)
        source = node_of(name)
        for follower in map(graph.__getitem__, graph.successors[source]):
            if any(output.node == source for output in _read_by(follower)):
                stack.append(_same_item(follower, name, graph.shared(follower.name, source)))
    return found


def _same_item(follower: Node, name: NodeName, shared: int) -> NodeName:
    """Return the item of a node, or the node, that takes an item of another one."""
    return item_at(follower.name, indexes_of(name)[:shared])


def _read_by(node: Node) -> Iterator[Output]:
    for value in (*node.inputs.values(), *node.lists.values(), *node.conditions):
        yield from outputs_in(value)
