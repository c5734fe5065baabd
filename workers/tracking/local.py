"""Run stages or a whole pipeline in this process with MLflow tracking, for notebooks and unit tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import uuid4

from orchestrator.authoring.context import Attempt, attempting
from workers.tracking.attempt import AttemptTracker
from workers.tracking.mlflow_tracking import MlflowTracking
from workers.tracking.records import AttemptInfo, RunInfo

_TRACKING_URI = "MLFLOW_TRACKING_URI"


@contextmanager
def tracked(
    tracking_uri: str,
    *,
    pipeline: str = "local",
    parameters: Mapping[str, object] = MappingProxyType({}),
    run_id: str | None = None,
    artifact_root: str | None = None,
) -> Iterator[AttemptTracker]:
    """Within the block, all logging of stages goes to one MLflow run of the experiment `pipeline`.

        with tracked("sqlite:///mlflow.db", pipeline="churn"):
            churn.run_locally(path="churn.parquet")

    Both `context.log_metric(...)` and plain `mlflow` calls do. `run_id` names the run; a new one by default.
    """
    run_id = run_id or f"local-{uuid4().hex[:12]}"
    started, state = datetime.now(UTC), "failed"
    previous = os.environ.get(_TRACKING_URI)
    tracking = MlflowTracking(tracking_uri, artifact_root)
    attempt = AttemptInfo(
        run_id=run_id,
        pipeline=pipeline,
        parameters=parameters,
        started=started,
        node="local",
        stage=pipeline,
        queue="data",
        attempt=1,
    )
    try:
        with (
            tracking.attempt(attempt) as tracker,
            attempting(Attempt(run=run_id, node="local", tracker=tracker)),
        ):
            yield tracker
        state = "succeeded"
    finally:
        tracking.conclude(
            RunInfo(
                run_id=run_id,
                pipeline=pipeline,
                parameters=parameters,
                started=started,
                ended=datetime.now(UTC),
                state=state,
            )
        )
        _point_back(previous)


def _point_back(tracking_uri: str | None) -> None:
    """Restore the tracking URI of plain `mlflow` calls."""
    sys.modules["mlflow"].set_tracking_uri(tracking_uri)
    if tracking_uri is not None:
        os.environ[_TRACKING_URI] = tracking_uri
