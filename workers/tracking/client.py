"""Open MLflow's tracking store, and find or create a pipeline's experiment."""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from orchestrator.tracking_address import MLFLOW_ARTIFACTS, sqlite_file
from workers.tracking.errors import clear_errors
from workers.tracking.library import STORE_MODULES, load

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_client(tracking_uri: str) -> MlflowClient:
    """Return a client of the store, with its tables created. A lock serializes the creation in SQLite."""
    from mlflow import MlflowClient

    file = sqlite_file(tracking_uri)
    if file is None:
        return MlflowClient(tracking_uri)
    with clear_errors(tracking_uri):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = Path(f"{file}.lock").open("w")  # noqa: SIM115 - closed below
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists() or file.stat().st_size == 0:
                with sqlite3.connect(file) as connection:
                    # With WAL, readers (the UI) and writing workers do not block each other.
                    connection.execute("PRAGMA journal_mode=WAL")
                connection.close()
            load(*STORE_MODULES)
            return MlflowClient(tracking_uri)


def experiment_of(client: MlflowClient, pipeline: str, tracking_uri: str, artifact_root: str | None) -> str:
    """Return the id of the pipeline's experiment, created if new and restored if deleted."""
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(pipeline)
    if known is None:
        location = _artifact_location(pipeline, tracking_uri, artifact_root)
        try:
            return str(client.create_experiment(pipeline, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            known = client.get_experiment_by_name(pipeline)  # another process was faster
    elif known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


def _artifact_location(pipeline: str, tracking_uri: str, artifact_root: str | None) -> str | None:
    """Return the artifact location of a new experiment; None for a server, which chooses its own."""
    file = sqlite_file(tracking_uri)
    if file is None:
        return None
    root = artifact_root or str(file.absolute().parent / MLFLOW_ARTIFACTS)
    if "://" not in root:
        root = Path(root).absolute().as_uri()
    return f"{root}/{quote(pipeline)}"
