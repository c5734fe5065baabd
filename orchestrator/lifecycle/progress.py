"""Read the progress of a run from the artifact store: the outputs of its nodes, by their manifests."""

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
    """The finished part of a run."""

    outputs: Mapping[NodeName, Tree]  #: outputs of nodes and map items
    lengths: Mapping[NodeName, int]  #: lengths of maps, if known
    unreadable: frozenset[NodeName] = frozenset()  #: nodes and items with an unreadable manifest
    torn: frozenset[NodeName] = frozenset()  #: maps that have lost some items, unknown which
    settled: Mapping[NodeName, int] = field(
        default_factory=dict
    )  #: maps that are done according to Redis, whatever the store has: their numbers of items

    def is_done(self, node: Node) -> bool:
        """Whether a node, with all its items, is done."""
        if not node.mapped:
            return node.name in self.outputs
        if node.name in self.settled:
            return True
        length = self.lengths.get(node.name)  # a map without items leaves no trace in the store
        return bool(length) and self.items_done(node) == length

    def items_done(self, node: Node) -> int:
        """Count the items of a map that are done."""
        length = self.lengths.get(node.name) or 0
        return sum(item_name(node.name, index) in self.outputs for index in range(length))

    def items_of(self, name: NodeName) -> tuple[int, ...]:
        """Return the indexes of a map's items that are done."""
        return self._items.get(name, ())

    def has_any_of(self, name: NodeName) -> bool:
        """Whether a node, an item, or any item of a map has left a result, readable or not.

        An item that a map is done without counts: it may turn out otherwise.
        """
        known = name in self.outputs or name in self.unreadable
        return known or group_and_index(name)[0] in self.settled or bool(self.items_of(name))

    def without(self, lost: Iterable[NodeName]) -> Progress:
        """Return the progress without some nodes, items, or whole maps."""
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
    """Read what is done of a run, under the names that its latest round reads."""
    outputs: dict[NodeName, Tree] = {}
    torn: set[NodeName] = set()
    for node in graph:
        if node.mapped:
            found, whole = _items_of(run, node.name, store, latest)
            outputs |= found
            torn |= set() if whole else {node.name}
    unreadable: set[NodeName] = set()
    nodes = {node.name for node in graph}  # without failure handlers: they run again after the next failure
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
    """Return the committed items of a map, and whether all item files could be read."""
    found: dict[NodeName, Tree] = {}
    whole = True
    for folder in latest.folders_of(name):
        stored = read_items(store, run, folder)
        whole = whole and stored.whole
        for index, output in stored.outputs.items():
            if latest.stored_as(name, index) == folder:
                found[item_name(name, index)] = output
    return found, whole
