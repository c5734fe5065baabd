"""Manifests of nodes and items: the proof that they have succeeded, with the trees of their outputs."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from orchestrator.archive.integrity import AGAIN, as_written, put_aside
from orchestrator.artifacts import AlteredArtifact, digest_of
from orchestrator.run_id import RunId
from orchestrator.runs.values import FencingNumber

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree

log = logging.getLogger("orchestrator.archive")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The output that one attempt committed for a node."""

    node: str
    attempt: int
    round: int = 0  #: the run's round that the attempt belongs to
    output: Tree

    @property
    def digest(self) -> str:
        """The digest of the output."""
        return digest_of(self.output)

    def write(self, store: ArtifactStore, run: RunId, name: str = "", *, flush: bool = False) -> bool:
        """Commit: the first writer wins. False if the node was committed before."""
        text = {
            "node": self.node,
            "round": self.round,
            "attempt": self.attempt,
            "digest": self.digest,
            "output": self.output,
        }
        data = json.dumps(text, separators=(",", ":")).encode()
        return store.create(_key(run, name or self.node), data, flush=flush)

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId, node: str) -> Manifest | None:
        """Read a node's manifest; None if there is none. Raises AlteredArtifact if it was altered."""
        key = _key(run, node)
        data = store.read(key)
        if data is None:
            return None
        with as_written(store, key, hint=AGAIN):
            plain = json.loads(data)
            return cls(
                node=plain["node"],
                attempt=plain["attempt"],
                round=plain.get("round", 0),
                output=_unaltered(plain["output"], plain["digest"]),
            )


def manifest_names(store: ArtifactStore, run: RunId) -> list[str]:
    """Return the names under which nodes are committed."""
    folder = f"runs/{run}/nodes"
    return [key.removeprefix(f"{folder}/").removesuffix(".json") for key in store.keys(folder)]


@dataclass(frozen=True)
class StoredItems:
    """The committed items of a map."""

    outputs: Mapping[int, Tree]  #: each item's output by its latest attempt
    numbers: Mapping[int, FencingNumber]  #: the fencing numbers of these attempts
    whole: bool  #: False if a file is unreadable: its items are unknown and count as not done


def write_items(
    store: ArtifactStore,
    run: RunId,
    node: str,
    number: FencingNumber,
    token: str,
    outputs: Mapping[int, Tree],
    *,
    flush: bool = False,
) -> None:
    """Commit items of a map under one fencing number; `token` is unique to the writer.

    An attempt that has lost its lease may still write: the newer attempt has the higher number.
    """
    items: Tree = {str(index): output for index, output in outputs.items()}
    text: Tree = {**number._asdict(), "items": items}
    data = json.dumps({"digest": digest_of(text), **text}, separators=(",", ":")).encode()
    store.create(f"{_folder(run, node)}/{min(outputs)}-{token}.json", data, flush=flush)


@dataclass
class ItemFiles:
    """The files of the items of a map that are committed under one name; each is read once."""

    store: ArtifactStore
    run: RunId
    node: str
    whole: bool = True  #: False if a file is unreadable
    _seen: set[str] = field(default_factory=set)
    _found: dict[int, tuple[FencingNumber, Tree]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the files that were added since the last call."""
        for key, data in _item_files(self.store, self.run, self.node, but=self._seen):
            self._seen.add(key)
            try:
                number, outputs = _items_in(self.store, key, data)
            except AlteredArtifact as error:
                extra = {"action": "record altered", "run": self.run, "node": self.node}
                log.warning("%s", error, extra=extra)
                self.whole = False
                continue
            for index, output in outputs.items():
                if index not in self._found or self._found[index][0] < number:
                    self._found[index] = (number, output)

    def output(self, index: int) -> Tree | None:
        """Return an item's output by its latest attempt so far; it counts only once the item is committed."""
        found = self._found.get(index)
        return None if found is None else found[1]

    def items(self) -> StoredItems:
        """Return all of them."""
        outputs = {index: output for index, (_, output) in self._found.items()}
        return StoredItems(outputs, {index: number for index, (number, _) in self._found.items()}, self.whole)


def read_items(store: ArtifactStore, run: RunId, node: str) -> StoredItems:
    """Read the items of a map that are committed under this name."""
    files = ItemFiles(store, run, node)
    files.refresh()
    return files.items()


def item_folders(store: ArtifactStore, run: RunId) -> list[str]:
    """Return the names under which items of maps are committed."""
    folder = f"runs/{run}/items/"
    return sorted({key.removeprefix(folder).rpartition("/")[0] for key in store.keys(folder.rstrip("/"))})


def put_torn_aside(store: ArtifactStore, run: RunId, node: str) -> None:
    """Move unreadable item files aside, before their items are run again."""
    for key, data in _item_files(store, run, node):
        try:
            _items_in(store, key, data)
        except AlteredArtifact:
            put_aside(store, key, data)


def _item_files(
    store: ArtifactStore, run: RunId, node: str, *, but: Collection[str] = ()
) -> Iterator[tuple[str, bytes]]:
    for key in store.keys(_folder(run, node)):
        data = store.read(key) if key.endswith(".json") and key not in but else None
        if data is not None:
            yield key, data


def _items_in(store: ArtifactStore, key: str, data: bytes) -> tuple[FencingNumber, Mapping[int, Tree]]:
    with as_written(store, key, hint=AGAIN):
        plain = json.loads(data)
        digest = plain.pop("digest")
        items = cast("Mapping[str, Tree]", _unaltered(plain, digest)["items"])
        number = FencingNumber(*(plain[part] for part in FencingNumber._fields))
        return number, {int(index): output for index, output in items.items()}


def manifest_keys(store: ArtifactStore, run: RunId) -> Iterator[str]:
    """Yield the keys of all committed manifests and item files of a run."""
    yield from store.keys(f"runs/{run}/nodes")
    yield from store.keys(f"runs/{run}/items")


def committed_keys(store: ArtifactStore, run: RunId, node: str, *, mapped: bool) -> Iterator[str]:
    """Yield the keys of the files that a node, or the items of a map, committed under this name."""
    if mapped:
        yield from store.keys(_folder(run, node))
    else:
        yield _key(run, node)


def _unaltered(tree: Tree, digest: str) -> Tree:
    if digest_of(tree) != digest:
        raise ValueError("the outputs do not match their digest")
    return tree


def _folder(run: RunId, node: str) -> str:
    return f"runs/{run}/items/{node}"


def _key(run: RunId, node: str) -> str:
    return f"runs/{run}/nodes/{node}.json"
