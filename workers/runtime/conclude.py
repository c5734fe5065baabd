"""Writes an ended run down: in MLflow, in the artifact store, and that both is done in Redis."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.archive.run_record import read_final, remove_marks, write_final
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.graph import NodeName
from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import RunRecord
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import RunContext
from workers.tracking import Data, NodeInfo, RunInfo
from workers.tracking.records import Order

log = logging.getLogger("orchestrator.conclude")

#: Files or outputs that MLflow is told of as the data of a run.
MOST_DATA = 20


@dataclass(frozen=True)
class _End:
    """One end of a run, as Redis has it, or else the store."""

    record: RunRecord  #: without its nodes, if Redis has it and there is no context
    tracebacks: Mapping[str, str]
    context: RunContext | None  #: None: nobody can read any more what the run consists of
    told_as: str = ""  #: when that was, as `RunStatus` tells it, if Redis knows the run

    @property
    def which(self) -> tuple[int, datetime | None]:
        """Tells this end from others of the run."""
        return (self.record.round, self.record.ended)


def conclude(run: RunId, resources: WorkerResources) -> None:
    """Write everything about an ended run down; idempotent.

    If the run was carried on meanwhile and has ended anew, that end is written down, too: what stands last is
    the latest end, whoever was paused in between.
    """
    written = None
    while (end := _latest_end(run, resources)) is not None and end.which != written:
        mlflow_run_id = _write_down(end, resources)
        written = end.which
        retention = resources.settings.retention
        if resources.runs.conclude(run, end.told_as, mlflow_run_id=mlflow_run_id, retention=retention):
            return


def _latest_end(run: RunId, resources: WorkerResources) -> _End | None:
    """How the run ended last; None while it goes on, or if nothing is known of it."""
    status = resources.runs.status(run)
    if status is None:
        final = read_final(resources.store, run)
        return _End(*final, _context(run, final[0].round, resources)) if final is not None else None
    if not status.ended:
        return None
    reader, context = RunReader(resources.runs.client), _context(run, status.round, resources)
    record = reader.read(run, context.graph) if context is not None else reader.summary(run)
    return _End(record, reader.tracebacks(run), context, status.ended) if record.state.over else None


def _context(run: RunId, round: int, resources: WorkerResources) -> RunContext | None:
    try:
        return resources.context(run, round)
    except (StoreError, UnknownRun) as error:
        if error.transient:
            raise
        _say_lost(run, error)
        return None


def _write_down(end: _End, resources: WorkerResources) -> str | None:
    """Write one end of a run to the store and to MLflow; returns the id of its MLflow run.

    Where nobody can read what the run consists of, MLflow is told what Redis knows.
    """
    record = end.record
    if end.context is not None:
        _keep(resources, end)  # before MLflow, which may be away for long
        resources.flush_outputs(record.id)  # nobody makes them again once the run is written down
    resources.tracking.deliver(record.id)
    mlflow_run_id = resources.tracking.conclude(_told_to_mlflow(end, resources))
    if end.context is not None:
        _keep(resources, replace(end, record=replace(record, mlflow_run_id=mlflow_run_id)), concluded=True)
    else:
        remove_marks(resources.store, record.id, record.round)
    return mlflow_run_id


def _told_to_mlflow(end: _End, resources: WorkerResources) -> RunInfo:
    record, ended = end.record, end.record.ended or datetime.now(UTC)
    told = {node.name: node.state for node in record.nodes}
    states = told or RunReader(resources.runs.client).raw_states(record.id)
    info = RunInfo(
        run_id=record.id,
        pipeline=record.pipeline,
        parameters=record.parameters,
        started=record.submitted or record.started or ended,
        ended=ended,
        state=record.state.value,
        round=record.round,
        error=record.error,
        nodes=[NodeInfo(name=name, state=state.value) for name, state in states.items()],
    )
    if end.context is None:
        return info
    specification = end.context.specification
    return replace(
        info,
        parameters=specification.parameters,
        started=specification.submitted,
        commit=specification.commit,
        dirty=specification.dirty,
        data=_data_of(end.context, resources),
        committed=partial(_attempt_of, end.context, resources),
    )


def _attempt_of(context: RunContext, resources: WorkerResources, node: str) -> Order | None:
    """Round and number of the attempt that gave what a node's output is; None if there is none."""
    ref = context.node_ref(node)
    if ref.index is None:
        manifest = _manifest(context, ref.name, resources)
        return (manifest.round, manifest.attempt) if manifest is not None else None
    with suppress(StoreError):
        number = read_items(resources.store, context.run, context.folder_of(ref)).numbers.get(ref.index)
        return (number.round, number.attempt) if number is not None else None
    return None


def _data_of(context: RunContext, resources: WorkerResources) -> list[Data]:
    """The files that parameters name; where they name none, what the nodes without inputs gave."""
    files = context.specification.files
    if files:
        return [
            Data(name=Path(path).name, digest=digest, source=path)
            for path, digest in list(files.items())[:MOST_DATA]
        ]
    first = [node for node in context.graph if not node.needs and not node.mapped][:MOST_DATA]
    found = {node.name: _manifest(context, node.name, resources) for node in first}
    return [
        Data(name=name, digest=manifest.digest, source=f"runs/{context.run}/nodes/{name}", kind="output")
        for name, manifest in found.items()
        if manifest is not None
    ]


def _manifest(context: RunContext, node: NodeName, resources: WorkerResources) -> Manifest | None:
    try:
        return Manifest.read(resources.store, context.run, context.stored_as(context.node_ref(node)))
    except StoreError:
        return None  # the run is over: what it gave is for others to judge


def _keep(resources: WorkerResources, end: _End, *, concluded: bool = False) -> None:
    """Keep the record in the store; where that is not possible at all, go on without."""
    try:
        write_final(resources.store, end.record, end.tracebacks, concluded=concluded)
    except StoreError as error:
        if error.transient:
            raise
        _say_lost(end.record.id, error)


def _say_lost(run: RunId, error: OrchestratorError) -> None:
    log.error("the end of run %s was not written down: %s", run, error, extra={"action": "record lost"})
