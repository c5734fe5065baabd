"""What names a run, everywhere: in Redis, in the store, in messages and in MLflow."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from secrets import token_hex
from typing import NewType

RunId = NewType("RunId", str)

_FORM = re.compile(r"(.+)-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


def new_run_id(pipeline: str) -> RunId:
    """Return an id for a new run: `digits-20261124-031502-9f3a`, by the time in UTC.

    Two runs of the same second may get the same id: who submits creates the run only if its id is new.
    """
    return RunId(f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}")


def submission_time(run: RunId) -> list[str]:
    """Return the date and time in a run's id, in a form that sorts."""
    return run.split("-")[-3:-1]


def pipeline_in(run: RunId) -> str:
    """Return the name of the pipeline in a run's id; empty if the id has another form."""
    found = _FORM.fullmatch(run)
    return found[1] if found else ""
