"""Writes an ended run down: in MLflow, in the artifact store, and that both is done in Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from orchestrator.archive.final import write_final
from orchestrator.runs.keys import RunId
from orchestrator.runs.reader import RunReader
from workers.runtime.workshop import Workshop
from workers.tracking import NodeInfo, RunInfo


def conclude(run: RunId, workshop: Workshop) -> None:
    """Write everything about an ended run down; as often as you like."""
    job = workshop.job(run)
    reader = RunReader(workshop.runs.client)
    record = reader.read(run, job.graph)
    tracebacks = reader.tracebacks(run)
    write_final(workshop.store, record, tracebacks)  # before MLflow, which may be away for long
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
        )
    )
    write_final(workshop.store, replace(record, mlflow_run_id=mlflow_run_id), tracebacks)
    workshop.runs.conclude(run, mlflow_run_id=mlflow_run_id, retention=workshop.settings.retention)
