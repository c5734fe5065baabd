"""What a worker process works with: the stores, the tracker, and the runs that it knows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.app import app
from orchestrator.archive.manifest import Manifest
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.runs.connection import connect
from orchestrator.runs.errors import RedisUnreachable
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import RunStore
from orchestrator.settings import Settings, settings
from workers.runtime.job import Job

if TYPE_CHECKING:
    from workers.tracking import MlflowTracking

#: Jobs and manifests that a process keeps; both never change.
JOBS, MANIFESTS = 32, 4096


@dataclass
class Workshop:
    """The stores of one process. Made after forking, since connections must not be shared."""

    settings: Settings
    runs: RunStore
    _store: ArtifactStore | None = None
    _jobs: dict[RunId, Job] = field(default_factory=dict)
    _manifests: dict[tuple[RunId, str], Manifest] = field(default_factory=dict)
    _tracking: MlflowTracking | None = None

    @property
    def store(self) -> ArtifactStore:
        """The artifact store; a process that forks must not touch it, or its children cannot use it."""
        if self._store is None:
            self._store = ArtifactStore(self.settings.store_url)
        return self._store

    @property
    def tracking(self) -> MlflowTracking:
        """The way to MLflow."""
        if self._tracking is None:
            from workers.tracking import MlflowTracking

            self._tracking = MlflowTracking(
                self.settings.tracking_uri,
                self.settings.artifact_root,
                recall=lambda key: self.runs.recall(_run_of(key), key),
                remember=lambda key, value: self.runs.remember(_run_of(key), key, value),
            )
        return self._tracking

    def job(self, run: RunId) -> Job:
        """A run's graph and plan; raises UnknownRun."""
        if run not in self._jobs:
            _make_room(self._jobs, JOBS)
            self._jobs[run] = Job(Specification.read(self.store, run), app)
        return self._jobs[run]

    def manifest(self, run: RunId, node: str) -> Manifest:
        """The manifest of a node that is done."""
        key = (run, node)
        if key not in self._manifests:
            found = Manifest.read(self.store, run, node)
            if found is None:
                raise LookupError(f"run {run}: {node} has no manifest, though what needs it was started")
            _make_room(self._manifests, MANIFESTS)
            self._manifests[key] = found
        return self._manifests[key]


def workshop() -> Workshop:
    """This process's workshop."""
    return _workshop_of(os.getpid())


@lru_cache(maxsize=1)
def _workshop_of(pid: int) -> Workshop:
    del pid
    chosen = settings()
    if chosen.redis_url is None:
        raise RedisUnreachable(
            "a worker needs REDIS_URL", hint="for example REDIS_URL=redis://localhost:6379"
        )
    runs = RunStore(connect(chosen.redis_url), lease_seconds=chosen.lease_seconds)
    return Workshop(chosen, runs)


def _make_room(cache: dict, limit: int) -> None:  # type: ignore[type-arg]
    while len(cache) >= limit:
        cache.pop(next(iter(cache)))


def _run_of(key: str) -> RunId:
    return RunId(key.partition("/")[0])
