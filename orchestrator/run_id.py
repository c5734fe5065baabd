"""What names a run, everywhere: in Redis, in the store, in messages and in MLflow."""

from __future__ import annotations

from datetime import UTC, datetime
from secrets import token_hex
from typing import NewType

RunId = NewType("RunId", str)


def new_run_id(pipeline: str) -> RunId:
    """Return an id for a new run: `digits-20261124-031502-9f3a`, by the time in UTC.

    Two runs of the same second may get the same id: who submits creates the run only if its id is new.
    """
    return RunId(f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}")


def submission_time(run: RunId) -> list[str]:
    """Return the date and time in a run's id, in a form that sorts."""
    return run.split("-")[-3:-1]
