"""Makes MLflow's SQLite file, whole or not at all: `python -m workers.tracking_maker HOME`.

The migrations take 2 s. The file gets its name when it is complete, so that ending this process in the middle
leaves nothing half-made. Who starts it holds `mlflow.db.lock`, which this process inherits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path

from orchestrator.tracking_address import MLFLOW_FILE, local_artifact_root, sqlite_url


def make(home: Path) -> None:
    """Make the file, unless it is there."""
    file = home / MLFLOW_FILE
    unfinished = file.with_name(f"{MLFLOW_FILE}.{os.getpid()}.new")
    for leftover in home.glob(f"{MLFLOW_FILE}.*.new*"):  # of a process that was killed; we hold the lock
        leftover.unlink()
    if file.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            # Readers (the UI) and the writing workers do not wait for one another then.
            connection.execute("PRAGMA journal_mode=WAL")
        store = SqlAlchemyStore(sqlite_url(unfinished), local_artifact_root(home))
        store.engine.dispose()
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, file)
    finally:
        for part in home.glob(f"{unfinished.name}*"):
            part.unlink()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leaves by way of `finally`
    make(Path(sys.argv[1]))
