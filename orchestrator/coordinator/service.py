"""Run the supervisor: as a thread of a local stack, or as a service (`orchestrator coordinator`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from orchestrator.artifacts import ArtifactStore
from orchestrator.coordinator.housekeeping import Housekeeping
from orchestrator.coordinator.supervisor import Supervisor
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.settings import Settings


def supervisor_of(settings: Settings, redis_url: str) -> Supervisor:
    """Create a supervisor for the runs in the Redis at `redis_url`."""
    client = connect(redis_url)
    runs = RunStore(client, lease_seconds=settings.lease_seconds)
    store = cache(lambda: ArtifactStore(settings.store_url))
    housekeeping = Housekeeping(runs, store, settings.artifact_retention_days)
    return Supervisor(
        runs, RunReader(client), store, settings.queues, settings.lease_seconds, housekeeping=housekeeping
    )


@contextmanager
def supervised(settings: Settings, redis_url: str) -> Iterator[None]:
    """Run a supervisor in a thread while the block runs."""
    stop = threading.Event()
    supervisor = supervisor_of(settings, redis_url)
    thread = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
