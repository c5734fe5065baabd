"""The rounds of a run that was carried on: which of its nodes were done when each began."""

from __future__ import annotations

import json
from dataclasses import dataclass
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

    def write(self, store: ArtifactStore, run: RunId) -> None:
        """Keep it, before its first message is sent."""
        store.write(_key(run, self.number), json.dumps(sorted(self.done)).encode())

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId, number: int) -> Round:
        """The round of that number."""
        if number == 0:
            return cls()
        return cls(number, frozenset(json.loads(store.read(_key(run, number)) or b"[]")))


def _key(run: RunId, number: int) -> str:
    return f"runs/{run}/rounds/{number}.json"
