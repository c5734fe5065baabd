"""Read the progress of a run from the artifact store: the outputs of its nodes, by their manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.archive.manifest import Manifest, item_folders, manifest_names, read_items
from orchestrator.archive.rounds import Round
from orchestrator.artifacts import AlteredArtifact
from orchestrator.authoring.graph import Graph, Node, NodeName, indexes_of, item_name, node_of, with_groups
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
    torn: frozenset[str] = frozenset()  #: names under which items are stored, some of which are lost
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
        return not node.nested and bool(length) and self.items_done(node) == length

    def items_done(self, node: Node) -> int:
        """Count the items of a map that are done."""
        length = self.lengths.get(node.name) or 0
        return sum(item_name(node.name, index) in self.outputs for index in range(length))

    def items_of(self, node: NodeName) -> tuple[NodeName, ...]:
        """Return the items of a map that are done, in order."""
        return self._items.get(node, ())

    def has_any_of(self, name: NodeName) -> bool:
        """Whether a node, an item, or any item of a map has left a result, readable or not.

        An item that a map is done without counts: it may turn out otherwise.
        """
        return name in self._results or name in self.unreadable or node_of(name) in self.settled

    def without(self, lost: Iterable[NodeName]) -> Progress:
        """Return the progress without some nodes, items, or whole maps."""
        gone = frozenset(lost)
        kept = {name: tree for name, tree in self.outputs.items() if gone.isdisjoint(with_groups(name))}
        nodes = {node_of(name) for name in gone}
        settled = {name: items for name, items in self.settled.items() if name not in nodes}
        return Progress(kept, self.lengths, torn=self.torn, settled=settled)

    @cached_property
    def _items(self) -> Mapping[NodeName, tuple[NodeName, ...]]:
        found: dict[NodeName, list[NodeName]] = {}
        for name in sorted(self.outputs, key=indexes_of):
            if node_of(name) != name:
                found.setdefault(node_of(name), []).append(name)
        return {node: tuple(names) for node, names in found.items()}

    @cached_property
    def _results(self) -> frozenset[NodeName]:
        """What has an output, and the maps that it is an item of."""
        return frozenset(each for name in self.outputs for each in with_groups(name))


def progress_of(
    run: RunId, graph: Graph, store: ArtifactStore, latest: Round, *, only: NodeName | None = None
) -> Progress:
    """Read what is done of a run, or of one node of it, under the names that its latest round reads."""
    outputs: dict[NodeName, Tree] = {}
    torn: set[str] = set()
    chosen = [node for node in graph if only in (None, node.name)]
    maps = {node.name for node in chosen if node.mapped}
    for folder in item_folders(store, run):
        map = NodeName(folder.partition("@")[0])
        if node_of(map) in maps:
            found = read_items(store, run, folder)
            items = {item_name(map, index): output for index, output in found.outputs.items()}
            outputs |= {name: tree for name, tree in items.items() if latest.stored_as(name) == folder}
            torn |= set() if found.whole or not latest.reads(folder) else {folder}
    unreadable: set[NodeName] = set()
    nodes = {node.name for node in chosen}  # without failure handlers: they run again after the next failure
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
