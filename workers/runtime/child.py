"""What a process of a worker's pool begins with: it waits for a Redis that is away, and keeps what it has."""

from __future__ import annotations

from celery import signals

from orchestrator.app import app
from orchestrator.patience import wait_as_long_as_it_takes

#: Tries to send a message, a second apart. Celery takes no word for "endless" here; after an hour the message
#: that is being worked on goes back to its queue, and whoever gets it next finds the node done.
TRIES = 3600


def expect_children() -> None:
    """Have every process of the pool begin with that."""
    signals.worker_process_init.connect(_be_patient, weak=False)


def _be_patient(**_: object) -> None:
    wait_as_long_as_it_takes()
    app.conf.task_publish_retry_policy.update(max_retries=TRIES)
    app.backend.__dict__.pop("client", None)  # where the parent made one before it forked
