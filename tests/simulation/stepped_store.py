"""An artifact store in memory of which each call is a step."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.errors import StoreUnavailable

from .outages import Outages
from .scheduler import Scheduler


class SteppedStore(ArtifactStore):
    """One process's view of the store that all share."""

    def __init__(self, world: Scheduler, outages: Outages, shared: ArtifactStore) -> None:
        super().__init__("memory://")
        self._backend = shared._backend
        self.world, self.outages = world, outages

    def create(self, key: str, data: bytes, *, flush: bool = False) -> bool:
        self._step(f"create {key}")
        made = super().create(key, data, flush=flush)
        self.world.reply("made" if made else "it is there")
        return made

    def write(self, key: str, data: bytes, *, flush: bool = False) -> None:
        self._step(f"write {key}")
        super().write(key, data, flush=flush)

    def read(self, key: str) -> bytes | None:
        self._step(f"read {key}")
        return super().read(key)

    def remove(self, key: str) -> None:
        self._step(f"remove {key}")
        super().remove(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        self._step(f"list {prefix}")
        found = list(super().keys(prefix))
        self.world.reply(found)
        return iter(found)

    def _step(self, doing: str) -> None:
        self.world.step(doing)
        if self.world.current is not None and self.world.now < self.outages.store_away_until:
            self.world.reply("away")
            raise StoreUnavailable(f"cannot {doing}: the store is away")
