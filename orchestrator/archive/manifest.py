"""A node's manifest: the proof that it is done, and the tree of what it gave."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.archive.reading import AGAIN, as_written
from orchestrator.artifacts import AlteredArtifact, digest_of
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
    for key in store.keys(_folder(run, node)):
        data = store.read(key)
        if data is None:
            continue
        try:
            with as_written(store, key, hint=AGAIN):
                plain = json.loads(data)
                items = _unaltered(plain["items"], plain["digest"])
        except AlteredArtifact as error:
            log.warning("%s", error, extra={"action": "record altered", "run": run, "node": node})
            continue
        for index, output in items.items():
            # an item in two files counts as the first of them has it
            found.setdefault(int(index), cast("Tree", output))
    return found


def _unaltered(tree: Tree, digest: str) -> Tree:
    if digest_of(tree) != digest:
        raise ValueError("the outputs do not match their digest")
    return tree


def _folder(run: RunId, node: str) -> str:
    return f"runs/{run}/items/{node}"


def _key(run: RunId, node: str) -> str:
    return f"runs/{run}/nodes/{node}.json"
