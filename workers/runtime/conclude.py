"""Writes an ended run down: in MLflow, in the artifact store, and that both is done in Redis."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.archive.final import write_final
from orchestrator.archive.manifest import Manifest
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.graph import NodeName
from orchestrator.runs.keys import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import RunRecord
from workers.runtime.job import Job
from workers.runtime.workshop import Workshop
from workers.tracking import Data, NodeInfo, RunInfo

log = logging.getLogger("orchestrator.conclude")

#: Files or outputs that MLflow is told of as the data of a run.
MOST_DATA = 20


def conclude(run: RunId, workshop: Workshop) -> None:
    """Write everything about an ended run down; as often as you like."""
    reader = RunReader(workshop.runs.client)
    ended = reader.end(run)
    if ended is None:
        return  # it has been carried on meanwhile
    try:
        job = workshop.job(run)
    except StoreError as error:
        if error.transient:
            raise
        _say_lost(run, error)
        workshop.runs.conclude(run, ended, mlflow_run_id=None, retention=workshop.settings.retention)
        return
    record = reader.read(run, job.graph)
    tracebacks = reader.tracebacks(run)
    _keep(workshop, record, tracebacks)  # before MLflow, which may be away for long
    workshop.flush_outputs(run)  # nobody makes them again once the run is written down
    workshop.tracking.deliver(run)
    mlflow_run_id = workshop.tracking.conclude(
        RunInfo(
            run_id=run,
            pipeline=record.pipeline,
            parameters=job.specification.parameters,
            started=job.specification.submitted,
            ended=record.ended or datetime.now(UTC),
            state=record.state.value,
            error=record.error,
            nodes=[NodeInfo(name=node.name, state=node.state.value) for node in record.nodes],
            commit=job.specification.commit,
            dirty=job.specification.dirty,
            data=_data_of(job, workshop),
        )
    )
    _keep(workshop, replace(record, mlflow_run_id=mlflow_run_id), tracebacks)
    workshop.runs.conclude(run, ended, mlflow_run_id=mlflow_run_id, retention=workshop.settings.retention)


def _data_of(job: Job, workshop: Workshop) -> list[Data]:
    """The files that parameters name; where they name none, what the nodes without inputs gave."""
    files = job.specification.files
    if files:
        return [
            Data(name=Path(path).name, digest=digest, source=path)
            for path, digest in list(files.items())[:MOST_DATA]
        ]
    first = [node for node in job.graph if not node.needs and not node.mapped][:MOST_DATA]
    found = {node.name: _manifest(job, node.name, workshop) for node in first}
    return [
        Data(name=name, digest=manifest.digest, source=f"runs/{job.run}/nodes/{name}", kind="output")
        for name, manifest in found.items()
        if manifest is not None
    ]


def _manifest(job: Job, node: NodeName, workshop: Workshop) -> Manifest | None:
    try:
        return Manifest.read(workshop.store, job.run, job.stored_as(job.task(node)))
    except StoreError:
        return None  # the run is over: what it gave is for others to judge


def _keep(workshop: Workshop, record: RunRecord, tracebacks: Mapping[str, str]) -> None:
    """Keep the record in the store; where that is not possible at all, go on without."""
    try:
        write_final(workshop.store, record, tracebacks)
    except StoreError as error:
        if error.transient:
            raise
        _say_lost(record.id, error)


def _say_lost(run: RunId, error: StoreError) -> None:
    log.error("the end of run %s was not written down: %s", run, error, extra={"action": "record lost"})
