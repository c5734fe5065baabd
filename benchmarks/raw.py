"""The baseline: the same work on Celery alone, as somebody who knows it well writes it.

An application and a worker of its own, with what Celery brings: nothing of ours is in its way or helps it.
Pool, slots, prefetch, late acknowledgement, serializer and events are those of our workers. Results that
nobody reads are ignored; Celery's chords count their tasks all the same.
"""

from __future__ import annotations

import os

from celery import Celery, chain, chord
from celery.result import AsyncResult

QUEUE = "raw"


def configuration() -> dict[str, object]:
    """The settings of `orchestrator.messaging.app` that Celery has itself."""
    url = os.environ.get("REDIS_URL")
    return {
        "broker_url": url,
        "result_backend": url,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "broker_transport_options": {"visibility_timeout": 7 * 86_400},
        "task_default_queue": QUEUE,
        "worker_send_task_events": True,
    }


app = Celery("raw", set_as_current=False)
app.add_defaults(configuration)  # lazy: the address of the rig's Redis is not known yet


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
