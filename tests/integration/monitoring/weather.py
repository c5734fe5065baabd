"""Stages that end in each way that the monitoring tells apart."""

from __future__ import annotations

from orchestrator import Retry, pipeline, stage


class TooWarm(Exception):
    """For good."""


@stage(queue="data")
def measure(degrees: float) -> float:
    """Succeed."""
    return degrees


@stage(queue="data", retry=Retry(on=(OSError,), times=1, backoff=0.1))
def report(degrees: float) -> None:
    """Try again, and fail."""
    raise OSError("nobody listens")


@stage(queue="data", retry=Retry(on=(OSError,)))
def judge(degrees: float) -> None:
    """Fail at once."""
    raise TooWarm(f"{degrees} degrees")


@pipeline
def weather(degrees: float = 21.5) -> None:
    """Measure, and fail to tell of it."""
    measured = measure(degrees)
    report(measured)
    judge(measured)
