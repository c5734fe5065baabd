"""Keep the artifact store in order from time to time, beside the supervision of runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from orchestrator.archive.index_repair import complete_index
from orchestrator.artifacts import StoreError
from orchestrator.lifecycle.prune import prune
from orchestrator.lifecycle.retention import Retention

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.runs.store import RunStore

log = logging.getLogger(__name__)

#: Seconds between two rounds, each of which lists all files of runs, and from a coordinator's start to its
#: first.
PACE = 6 * 3600.0
FIRST = 300.0
#: Runs that one round removes: the rest waits for the next one.
MOST = 1000


@dataclass
class Housekeeping:
    """Completes the index of runs and removes old ones, in a thread, while its coordinator leads."""

    runs: RunStore
    store: Callable[[], ArtifactStore]
    retention_days: float | None  #: older runs are removed; None: no run is
    clock: Callable[[], float] = time.monotonic
    _due: float = field(init=False)
    _thread: threading.Thread | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._due = self.clock() + FIRST

    def begin_if_due(self) -> None:
        """Begin a round, if the last one is long enough ago and over; does not wait for it."""
        if self.clock() < self._due or (self._thread is not None and self._thread.is_alive()):
            return
        self._due = self.clock() + PACE
        self._thread = threading.Thread(target=self._keep_in_order, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End a round that is under way, after its present step; wait up to `timeout` seconds for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _keep_in_order(self) -> None:
        extra = {"action": "not_kept"}
        try:
            self._complete_index()
            if self.retention_days is not None:
                self._prune(self.retention_days)
        except (StoreError, RedisError) as error:
            log.warning("the store is put in order later: %s", error, extra=extra)
        except Exception:
            log.exception("the store could not be put in order", extra=extra)

    def _complete_index(self) -> None:
        if entered := complete_index(self.store(), self._stop.is_set):
            log.info("entered %d runs into the index", entered, extra={"action": "indexed"})

    def _prune(self, days: float) -> None:
        retention = Retention(older_than=days * 86_400, why=f"older than {days:g}d")
        done = prune(
            self.store(), retention, [self.runs], now=time.time(), most=MOST, stopped=self._stop.is_set
        )
        if done.size:
            told = (len(done.runs), done.blobs, done.size)
            log.info("pruned %d runs and %d blobs, %d bytes", *told, extra={"action": "pruned"})
