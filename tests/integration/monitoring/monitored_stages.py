"""Stages that end in each way that the monitoring tells apart."""

from __future__ import annotations

import time
from pathlib import Path

from orchestrator import Retry, context, pipeline, stage


@stage(queue="data")
def succeed(value: float) -> float:
    return value


@stage(queue="data", retry=Retry(on=(OSError,), times=1, backoff=0.1))
def fail_after_retry(value: float) -> None:
    raise OSError("nobody listens")


@stage(queue="data", retry=Retry(on=(OSError,)))
def fail_at_once(value: float) -> None:
    raise ValueError(f"{value} is no good")


@pipeline
def monitored(value: float = 21.5) -> None:
    """Succeed, then fail in both ways."""
    given = succeed(value)
    fail_after_retry(given)
    fail_at_once(given)


@stage(queue="data")
def loop(file: str) -> int:
    """Wait for the file behind the second of three items."""
    for item in context.progress(range(3)):
        while item and not Path(file).exists():
            time.sleep(0.01)
    return 3


@pipeline
def looping(file: str) -> None:
    """Tell how far it has come."""
    loop(file)
