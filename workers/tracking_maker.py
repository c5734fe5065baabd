"""Create MLflow's SQLite file atomically: `python -m workers.tracking_maker HOME`.

The migrations take 2 s. The file is linked to its name when it is complete, so that killing this process
leaves no incomplete database. The caller holds `mlflow.db.lock`, which this process inherits.
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
    """Create the file unless it exists."""
    file = home / MLFLOW_FILE
    unfinished = file.with_name(f"{MLFLOW_FILE}.{os.getpid()}.new")
    for leftover in home.glob(f"{MLFLOW_FILE}.*.new*"):  # of a killed process; we hold the lock
        leftover.unlink()
    if file.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            # With WAL, readers (the UI) and writing workers do not block each other.
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # exit through `finally`
    make(Path(sys.argv[1]))
