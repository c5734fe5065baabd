"""Does things outside once for all attempts of a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.archive.effects import keep_effect, read_effect
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


@dataclass(frozen=True)
class Effects:
    """What the attempts of one node have done outside."""

    store: ArtifactStore
    run: RunId
    node: str
    check: Callable[[], None]  #: raises if another worker has taken the node over

    def once(self, key: str, act: Callable[[], str]) -> str:
        """What an earlier attempt got for this key; else what `act` returns, which is kept."""
        found = read_effect(self.store, self.run, self.node, key)
        if found is not None:
            return found
        self.check()
        return keep_effect(self.store, self.run, self.node, key, act())
