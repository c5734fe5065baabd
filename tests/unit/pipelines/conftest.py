"""Whole pipelines in this process, each node with its own attempt in a private MLflow, as on a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import mlflow
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from orchestrator import Pipeline
from orchestrator.authoring import local
from orchestrator.authoring.context import Attempt, attempting
from workers.tracking import AttemptInfo, MlflowTracking

RunPipeline = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Threads of a fit that share too few cores wait for one another most of the time."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def run_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPipeline]:
    """Runs a pipeline, and returns the outputs of its nodes by name."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    runs = (f"run-{number}" for number in count(1))

    def run(pipeline: Pipeline[..., Any], **parameters: object) -> dict[str, Any]:
        tracking = MlflowTracking(uri, (tmp_path / "models").as_uri())
        graph, run_id = pipeline.graph(**pipeline.parse(parameters)), next(runs)

        @contextmanager
        def tracked(attempt: Attempt) -> Iterator[None]:
            if attempt.node == "local":  # around the whole run
                with attempting(attempt):
                    yield
                return
            node = graph[attempt.node.partition("[")[0]]
            info = AttemptInfo(
                run_id=run_id,
                pipeline=pipeline.name,
                parameters={},
                started=datetime.now(UTC),
                node=attempt.node,
                stage=node.stage,
                queue=node.policy.queue,
                attempt=1,
            )
            with (
                tracking.attempt(info) as tracker,
                attempting(Attempt(run_id, attempt.node, 1, tracker)),
            ):
                yield

        monkeypatch.setattr(local, "attempting", tracked)
        return pipeline.run_locally(**parameters)

    yield run
    # Not what MLflow gives for its URI: that is a file in the current folder where there is none, and setting
    # it hands it to every process that a later test starts.
    mlflow.set_tracking_uri(before)
