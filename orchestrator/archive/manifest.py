"""A node's manifest: the proof that it is done, and the tree of what it gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.artifacts import digest_of
from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree


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

    def write(self, store: ArtifactStore, run: RunId, name: str = "") -> bool:
        """Commit: the first writer wins. False if the node was committed before."""
        text = {"node": self.node, "attempt": self.attempt, "output": self.output}
        return store.create(_key(run, name or self.node), json.dumps(text, separators=(",", ":")).encode())

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId, node: str) -> Manifest | None:
        """The node's manifest, if it is done."""
        data = store.read(_key(run, node))
        if data is None:
            return None
        plain = json.loads(data)
        return cls(node=plain["node"], attempt=plain["attempt"], output=cast("Tree", plain["output"]))


def write_items(store: ArtifactStore, run: RunId, node: str, token: str, outputs: Mapping[int, Tree]) -> None:
    """Commit several items of a map at once; `token` is the attempt's, and nobody else's."""
    first = min(outputs)
    text = {str(index): output for index, output in outputs.items()}
    store.create(
        f"{_folder(run, node)}/{first}-{token}.json", json.dumps(text, separators=(",", ":")).encode()
    )


def read_items(store: ArtifactStore, run: RunId, node: str) -> dict[int, Tree]:
    """The outputs of all items of a map that were committed together with others."""
    found: dict[int, Tree] = {}
    for key in store.keys(_folder(run, node)):
        data = store.read(key)
        for index, output in json.loads(data or b"{}").items():
            found.setdefault(int(index), output)  # an item in two files counts as the first of them has it
    return found


def _folder(run: RunId, node: str) -> str:
    return f"runs/{run}/items/{node}"


def _key(run: RunId, node: str) -> str:
    return f"runs/{run}/nodes/{node}.json"
