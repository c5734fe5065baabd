"""What the artifact store has of a run: the outputs of its nodes, by their manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.archive.manifest import Manifest, manifest_names, read_items
from orchestrator.archive.rounds import Round
from orchestrator.artifacts import AlteredArtifact
from orchestrator.authoring.graph import Graph, Node, NodeName, group_and_index, item_name
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree


@dataclass(frozen=True)
class Progress:
    """What is done of a run."""

    outputs: Mapping[NodeName, Tree]  #: of nodes and of items of maps
    lengths: Mapping[NodeName, int]  #: of maps, as far as they are known
    unreadable: frozenset[NodeName] = frozenset()  #: nodes and items with a manifest that makes no sense
    torn: frozenset[NodeName] = frozenset()  #: maps of which some items were lost, nobody knows which
    settled: Mapping[NodeName, int] = field(
        default_factory=dict
    )  #: maps that Redis knows as done, whatever the store can tell, and stay so: how many items they have

    def is_done(self, node: Node) -> bool:
        """Whether nothing of a node is left to do."""
        if not node.mapped:
            return node.name in self.outputs
        if node.name in self.settled:
            return True
        length = self.lengths.get(
            node.name
        )  # without items there is nothing in the store to show that it ran
        return bool(length) and self.items_done(node) == length

    def items_done(self, node: Node) -> int:
        """How many items of a map are done."""
        length = self.lengths.get(node.name) or 0
        return sum(item_name(node.name, index) in self.outputs for index in range(length))

    def items_of(self, name: NodeName) -> tuple[int, ...]:
        """The items of a map that are done."""
        return self._items.get(name, ())

    def has_any_of(self, name: NodeName) -> bool:
        """Whether a node, an item, or any item of a map has left something."""
        known = name in self.outputs or name in self.unreadable or name in self.settled
        return known or bool(self.items_of(name))

    def without(self, lost: Iterable[NodeName]) -> Progress:
        """The same, but for some nodes, items, or whole maps."""
        gone = frozenset(lost)
        kept = {
            name: output
            for name, output in self.outputs.items()
            if name not in gone and group_and_index(name)[0] not in gone
        }
        groups = {group_and_index(name)[0] for name in gone}
        settled = {name: items for name, items in self.settled.items() if name not in groups}
        return Progress(kept, self.lengths, torn=self.torn, settled=settled)

    @cached_property
    def _items(self) -> Mapping[NodeName, tuple[int, ...]]:
        found: dict[NodeName, list[int]] = {}
        for name in self.outputs:
            group, index = group_and_index(name)
            if index is not None:
                found.setdefault(group, []).append(index)
        return {group: tuple(indexes) for group, indexes in found.items()}


def progress_of(run: RunId, graph: Graph, store: ArtifactStore, latest: Round) -> Progress:
    """Look at what is done of a run, by what its latest round would read."""
    outputs: dict[NodeName, Tree] = {}
    torn: set[NodeName] = set()
    for node in graph:
        if node.mapped:
            found, whole = _items_of(run, node.name, store, latest)
            outputs |= found
            torn |= set() if whole else {node.name}
    unreadable: set[NodeName] = set()
    nodes = {node.name for node in graph}  # what ran after a failure runs again after the next
    for stored in manifest_names(store, run):
        name = NodeName(stored.partition("@")[0])
        if name not in nodes or latest.stored_as(name) != stored:
            continue  # of an earlier round
        try:
            manifest = Manifest.read(store, run, stored)
        except AlteredArtifact:
            unreadable.add(name)
        else:
            if manifest is not None:
                outputs[name] = manifest.output
    lengths = {node.name: node.known_length for node in graph if node.known_length is not None}
    return Progress(outputs, lengths, frozenset(unreadable), frozenset(torn))


def _items_of(
    run: RunId, name: NodeName, store: ArtifactStore, latest: Round
) -> tuple[dict[NodeName, Tree], bool]:
    """The items of a map that are committed, and whether those are all that there were."""
    found: dict[NodeName, Tree] = {}
    whole = True
    for folder in latest.folders_of(name):
        stored = read_items(store, run, folder)
        whole = whole and stored.whole
        for index, output in stored.outputs.items():
            if latest.stored_as(name, index) == folder:
                found[item_name(name, index)] = output
    return found, whole
