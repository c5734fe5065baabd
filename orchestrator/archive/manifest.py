"""A node's manifest: the proof that it is done, and the tree of what it gave."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.archive.reading import AGAIN, as_written, put_aside
from orchestrator.artifacts import AlteredArtifact, digest_of
from orchestrator.authoring.graph import group_and_index
from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree

log = logging.getLogger("orchestrator.archive")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one attempt committed for a node."""

    node: str
    attempt: int
    output: Tree

    @property
    def digest(self) -> str:
        """The fingerprint of the output."""
        return digest_of(self.output)

    def write(self, store: ArtifactStore, run: RunId, name: str = "", *, flush: bool = False) -> bool:
        """Commit: the first writer wins. False if the node was committed before."""
        text = {"node": self.node, "attempt": self.attempt, "digest": self.digest, "output": self.output}
        data = json.dumps(text, separators=(",", ":")).encode()
        return store.create(_key(run, name or self.node), data, flush=flush)

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId, node: str) -> Manifest | None:
        """The node's manifest, if it is done; raises AlteredArtifact if it is not as it was written."""
        key = _key(run, node)
        data = store.read(key)
        if data is None:
            return None
        with as_written(store, key, hint=AGAIN):
            plain = json.loads(data)
            return cls(
                node=plain["node"],
                attempt=plain["attempt"],
                output=_unaltered(plain["output"], plain["digest"]),
            )


def manifest_names(store: ArtifactStore, run: RunId) -> list[str]:
    """The names under which nodes, and items by themselves, are committed."""
    folder = f"runs/{run}/nodes"
    return [key.removeprefix(f"{folder}/").removesuffix(".json") for key in store.keys(folder)]


def write_items(
    store: ArtifactStore,
    run: RunId,
    node: str,
    token: str,
    outputs: Mapping[int, Tree],
    *,
    flush: bool = False,
) -> None:
    """Commit several items of a map at once; `token` is the attempt's, and nobody else's."""
    items: Tree = {str(index): output for index, output in outputs.items()}
    data = json.dumps({"digest": digest_of(items), "items": items}, separators=(",", ":")).encode()
    store.create(f"{_folder(run, node)}/{min(outputs)}-{token}.json", data, flush=flush)


def read_items(store: ArtifactStore, run: RunId, node: str) -> dict[int, Tree]:
    """The outputs of all items of a map that were committed together with others.

    What cannot be read is passed over: nobody knows which items it had, so those are not done.
    """
    found: dict[int, Tree] = {}
    for items in item_files(store, run, node):
        for index, output in (items or {}).items():
            found.setdefault(index, output)  # an item in two files counts as the first of them has it
    return found


def item_files(store: ArtifactStore, run: RunId, node: str) -> Iterator[Mapping[int, Tree] | None]:
    """What each file holds of items that were committed together; None for one that cannot be read."""
    for key, data in _item_files(store, run, node):
        try:
            yield _items_in(store, key, data)
        except AlteredArtifact as error:
            log.warning("%s", error, extra={"action": "record altered", "run": run, "node": node})
            yield None


def put_torn_aside(store: ArtifactStore, run: RunId, node: str) -> None:
    """Move files of items that cannot be read out of the way, once their items are to be made again."""
    for key, data in _item_files(store, run, node):
        try:
            _items_in(store, key, data)
        except AlteredArtifact:
            put_aside(store, key, data)


def _item_files(store: ArtifactStore, run: RunId, node: str) -> Iterator[tuple[str, bytes]]:
    for key in store.keys(_folder(run, node)):
        data = store.read(key) if key.endswith(".json") else None
        if data is not None:
            yield key, data


def _items_in(store: ArtifactStore, key: str, data: bytes) -> Mapping[int, Tree]:
    with as_written(store, key, hint=AGAIN):
        plain = json.loads(data)
        items = cast("Mapping[str, Tree]", _unaltered(plain["items"], plain["digest"]))
        return {int(index): output for index, output in items.items()}


def manifest_keys(store: ArtifactStore, run: RunId) -> Iterator[str]:
    """Where in the store is what nodes and items of maps have committed."""
    yield from store.keys(f"runs/{run}/nodes")
    yield from store.keys(f"runs/{run}/items")


def committed_keys(store: ArtifactStore, run: RunId, node: str, *, mapped: bool) -> Iterator[str]:
    """Where in the store is what a node, or the items of a map, committed under this name."""
    if not mapped:
        yield _key(run, node)
        return
    yield from store.keys(_folder(run, node))
    yield from (_key(run, name) for name in manifest_names(store, run) if group_and_index(name)[0] == node)


def _unaltered(tree: Tree, digest: str) -> Tree:
    if digest_of(tree) != digest:
        raise ValueError("the outputs do not match their digest")
    return tree


def _folder(run: RunId, node: str) -> str:
    return f"runs/{run}/items/{node}"


def _key(run: RunId, node: str) -> str:
    return f"runs/{run}/nodes/{node}.json"
