"""The baseline: the same work on Celery alone, as somebody who knows it well writes it.

The tasks are registered with the application that runs our stages, so that one worker serves both: pool,
slots, prefetch, late acknowledgement, serializer and events are the same by construction. Results that nobody
reads are ignored; Celery's chords count their tasks all the same.
"""

from __future__ import annotations

from celery import chain, chord
from celery.result import AsyncResult

from orchestrator.messaging.app import app


@app.task(name="raw.step", ignore_result=True)
def step(value: int) -> int:
    """Nothing, with something to pass on."""
    return value


@app.task(name="raw.last", ignore_result=False)
def last(value: int) -> int:
    """A step whose result is read: the end of a chain."""
    return value


@app.task(name="raw.count", ignore_result=False)
def count(values: list[int]) -> int:
    """The end of a chord."""
    return len(values)


def line(length: int) -> AsyncResult:
    """A chain of tasks that do nothing."""
    steps = [step.s(0), *(step.s() for _ in range(length - 2)), last.s()]
    return chain(*steps).apply_async()


def fan(width: int) -> AsyncResult:
    """A chord of tasks that do nothing."""
    return chord((step.s(number) for number in range(width)), count.s()).apply_async()
