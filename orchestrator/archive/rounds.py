"""The rounds of a run that was carried on: what was done when each began, and what had to be done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.authoring.graph import NodeName
from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


@dataclass(frozen=True)
class Round:
    """One sending of a run; number 0 is its submission, before which nothing was done."""

    number: int = 0
    done: frozenset[NodeName] = frozenset()
    redone: Mapping[NodeName, int] = field(default_factory=dict)  #: changed nodes: since which round

    def stored_as(self, node: NodeName) -> str:
        """The name under which a node's outputs are stored: what it gave before its code changed is apart."""
        return f"{node}@{self.redone[node]}" if node in self.redone else node

    def write(self, store: ArtifactStore, run: RunId) -> None:
        """Keep it, before its first message is sent."""
        text = {"done": sorted(self.done), "redone": dict(self.redone)}
        store.write(_key(run, self.number), json.dumps(text).encode())

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId, number: int) -> Round:
        """The round of that number."""
        if number == 0:
            return cls()
        plain = json.loads(store.read(_key(run, number)) or b'{"done": [], "redone": {}}')
        return cls(number, frozenset(plain["done"]), plain["redone"])

    @classmethod
    def latest(cls, store: ArtifactStore, run: RunId) -> Round:
        """The round that began last."""
        keys = store.keys(f"runs/{run}/rounds")
        numbers = (int(key.rpartition("/")[2].removesuffix(".json")) for key in keys)
        return cls.read(store, run, max(numbers, default=0))


def _key(run: RunId, number: int) -> str:
    return f"runs/{run}/rounds/{number}.json"
