"""Resources of a worker process: run store, artifact store, MLflow tracking, and cached run contexts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.archive.effects import keep_mlflow_id, read_mlflow_id
from orchestrator.archive.manifest import (
    ItemFiles,
    Manifest,
    committed_keys,
    item_folders,
    manifest_keys,
    read_items,
)
from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, StoreError
from orchestrator.authoring.graph import NodeName, node_of
from orchestrator.messaging.app import app
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.errors import RedisUnreachable
from orchestrator.runs.store import RunStore
from orchestrator.settings import Settings, settings
from workers.runtime.errors import MissingOutput
from workers.runtime.outbox_sender import hand_over, has_sender
from workers.runtime.run_context import NodeRef, RunContext

if TYPE_CHECKING:
    from orchestrator.artifacts.tree import Tree
    from workers.tracking import MlflowTracking

log = logging.getLogger(__name__)

#: Maximum number of run contexts and outputs (trees, not data) cached per process; both are immutable.
CONTEXTS, OUTPUTS = 32, 20_000


@dataclass
class WorkerResources:
    """The stores of one process. Create it after the fork, since connections must not be shared."""

    settings: Settings
    runs: RunStore
    _store: ArtifactStore | None = None
    _contexts: dict[tuple[RunId, int], RunContext] = field(default_factory=dict)
    _outputs: dict[tuple[RunId, str], Tree] = field(default_factory=dict)
    _item_files: dict[tuple[RunId, str], tuple[int, ItemFiles]] = field(default_factory=dict)
    _succeeded_items: dict[tuple[RunId, int, NodeName], Sequence[int]] = field(default_factory=dict)
    #: Seconds that an item of a node and of a depth takes, by the last that this process has run.
    paces: dict[tuple[RunId, NodeName, int], float] = field(default_factory=dict)
    _flushed: dict[RunId, set[str]] = field(default_factory=dict)  #: keys, by run
    _tracking: MlflowTracking | None = None

    @property
    def store(self) -> ArtifactStore:
        """The artifact store. A process must not use it before it forks, or its children cannot use it."""
        if self._store is None:
            self._store = ArtifactStore(self.settings.store_url)
        return self._store

    @property
    def tracking(self) -> MlflowTracking:
        """MLflow tracking, created at first use."""
        if self._tracking is None:
            from workers.tracking import MlflowTracking

            self._tracking = MlflowTracking(
                self.settings.tracking_uri,
                self.settings.artifact_root,
                recall=self._recall,
                remember=self._remember,
                store=self.store,
                hand_over=hand_over if has_sender() else None,
            )
        return self._tracking

    def _recall(self, key: str) -> str | None:
        """Look up the MLflow id bound to a key: in Redis, which is faster, then in the store."""
        run = _run_of(key)
        return self.runs.recall(run, key) or read_mlflow_id(self.store, run, key)

    def _remember(self, key: str, made: str) -> str:
        run = _run_of(key)
        try:
            made = keep_mlflow_id(self.store, run, key, made)
        except StoreError as error:
            if error.transient:
                raise
            log.warning("only Redis knows what MLflow has of run %s: %s", run, error)
        return self.runs.remember(run, key, made)

    def runs_with_due_outboxes(self) -> list[RunId]:
        """Return the runs with entries that this process could not log, once MLflow answers again."""
        return [] if self._tracking is None else [RunId(run) for run in sorted(self._tracking.due())]

    def context(self, run: RunId, round: int = 0) -> RunContext:
        """Return a run's graph and the plan of one of its rounds, cached; raises UnknownRun."""
        key = (run, round)
        if key not in self._contexts:
            _make_room(self._contexts, CONTEXTS)
            specification = Specification.read(self.store, run)
            self._contexts[key] = RunContext(specification, app, Round.read(self.store, run, round))
        return self._contexts[key]

    def output(self, context: RunContext, ref: NodeRef) -> Tree:
        """Return the output of a finished node or map item, cached; raises MissingOutput if not finished."""
        key = (context.run, context.stored_as(ref))
        if key not in self._outputs:
            found = self._stored(context, ref)
            _make_room(self._outputs, OUTPUTS - len(found))
            self._outputs.update({(context.run, name): output for name, output in found.items()})
        if key not in self._outputs:
            raise MissingOutput.of(context.run, ref.name)
        return self._outputs[key]

    def item_output(self, context: RunContext, ref: NodeRef, *, as_of: int) -> Tree:
        """Return the output of an item of a map that still goes on, cached; raises MissingOutput.

        The item was committed by `as_of`; only for another such time, the store is looked into again.
        """
        key = (context.run, context.stored_as(ref))
        if key not in self._outputs:
            found = self._files_of(context.run, context.folder_of(ref), as_of).output(ref.index or 0)
            if found is None:
                raise MissingOutput.of(context.run, ref.name)
            self.remember_output(context, ref, found)
        return self._outputs[key]

    def _files_of(self, run: RunId, folder: str, as_of: int) -> ItemFiles:
        if (run, folder) not in self._item_files:
            _make_room(self._item_files, CONTEXTS)
            self._item_files[run, folder] = (-1, ItemFiles(self.store, run, folder))
        read, files = self._item_files[run, folder]
        if read != as_of:
            files.refresh()
            self._item_files[run, folder] = (as_of, files)
        return files

    def succeeded_items(self, context: RunContext, map: NodeName) -> Sequence[int] | None:
        """Return the succeeded items of a finished map; None if Redis does not know it as finished."""
        key = (context.run, context.round.number, map)
        if key not in self._succeeded_items:
            found = self.runs.succeeded_items(context.run, map)
            if found is None:
                return None
            _make_room(self._succeeded_items, CONTEXTS)
            self._succeeded_items[key] = found
        return self._succeeded_items[key]

    def stored_output(self, context: RunContext, ref: NodeRef) -> Tree:
        """Return what any attempt stored for a node or item, uncached; possibly not the committed output."""
        found = self._stored(context, ref).get(context.stored_as(ref))
        if found is None:
            raise MissingOutput.of(context.run, ref.name)
        return found

    def stored_items(self, context: RunContext, refs: Iterable[NodeRef]) -> dict[str, Tree]:
        """Return what any attempt stored for items of one map, by stored name; each file is read once."""
        found: dict[str, Tree] = {}
        for ref in {context.folder_of(ref): ref for ref in refs}.values():
            found |= self._stored(context, ref)
        return found

    def remember_output(self, context: RunContext, ref: NodeRef, output: Tree) -> None:
        """Cache an output that was just committed: the next node often runs in the same process."""
        _make_room(self._outputs, OUTPUTS)
        self._outputs[context.run, context.stored_as(ref)] = output

    def remember_pace(self, kind: tuple[RunId, NodeName, int], seconds: float) -> None:
        """Remember how long an item of a node takes, for the next ones that this process takes."""
        _make_room(self.paces, CONTEXTS)
        self.paces[kind] = seconds

    def flush_needs(self, context: RunContext, ref: NodeRef) -> None:
        """Flush the inputs of a node to disk: if they were lost, the node would have to run again as well."""
        if not self.store.keeps_at_once:
            needs = [context.graph[name] for name in context.graph.ancestors(ref.node.name)]
            maps = {node.name for node in needs if node.mapped}
            folders = item_folders(self.store, context.run) if maps else []
            stored = [folder for folder in folders if node_of(folder.partition("@")[0]) in maps]
            for folder in stored:
                self._flush(context.run, committed_keys(self.store, context.run, folder, mapped=True))
            for node in needs:
                if not node.mapped:
                    name = context.round.stored_as(node.name)
                    self._flush(context.run, committed_keys(self.store, context.run, name, mapped=False))

    def flush_outputs(self, run: RunId) -> None:
        """Flush all committed outputs of a run to disk."""
        if not self.store.keeps_at_once:
            self._flush(run, manifest_keys(self.store, run))

    def _flush(self, run: RunId, keys: Iterable[str]) -> None:
        if run not in self._flushed:
            _make_room(self._flushed, CONTEXTS)
            self._flushed[run] = set()
        for key in set(keys) - self._flushed[run]:
            self.store.flush(key)
            self._flushed[run].add(key)

    def _stored(self, context: RunContext, ref: NodeRef) -> dict[str, Tree]:
        """Read the outputs of a node, or of all items of a map, by the names they are stored under."""
        if ref.index is None:
            stored = context.stored_as(ref)
            manifest = Manifest.read(self.store, context.run, stored)
            return {} if manifest is None else {stored: manifest.output}
        folder = context.folder_of(ref)
        items = read_items(self.store, context.run, folder).outputs
        return {f"{folder}[{index}]": output for index, output in items.items()}


def worker_resources() -> WorkerResources:
    """Return this process's resources, created at first use."""
    return _resources_of(os.getpid())


@lru_cache(maxsize=1)
def _resources_of(pid: int) -> WorkerResources:
    del pid
    chosen = settings()
    if chosen.redis_url is None:
        raise RedisUnreachable(
            "a worker needs REDIS_URL", hint="for example REDIS_URL=redis://localhost:6379"
        )
    runs = RunStore(connect(chosen.redis_url), lease_seconds=chosen.lease_seconds)
    return WorkerResources(chosen, runs)


def _make_room(cache: dict, limit: int) -> None:  # type: ignore[type-arg]
    while cache and len(cache) >= limit:
        cache.pop(next(iter(cache)))


def _run_of(key: str) -> RunId:
    return RunId(key.partition("/")[0])
