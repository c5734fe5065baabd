"""Initialize each process of a worker's pool.

The process waits for an unavailable Redis and keeps its results meanwhile. Its stages may start child
processes, do not see Redis passwords in their environment, and have their output captured.
"""

from __future__ import annotations

import os

from celery import signals

from orchestrator.messaging.app import app
from orchestrator.redis_retry import wait_for_ever
from orchestrator.settings import settings
from workers.runtime import streams
from workers.runtime.descendants import allow_processes
from workers.runtime.groups import join_guard
from workers.runtime.turn_log import take_part

#: Retries of a publish, one second apart, since Celery has no value for "unlimited" here. After an hour the
#: current message is requeued, and its next delivery finds the node committed.
TRIES = 3600


#: Environment variables hidden from stages. Variables that MLflow's and the store's clients read must stay.
HIDDEN = ("REDIS_URL", "REDIS_URL_FILE", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE")


def expect_children() -> None:
    """Register the initialization for every process of the pool."""
    signals.worker_process_init.connect(_begin, weak=False)


def _begin(**_: object) -> None:
    wait_for_ever()
    app.conf.task_publish_retry_policy.update(max_retries=TRIES)
    app.backend.__dict__.pop("client", None)  # a connection inherited from the parent
    settings()  # cache the settings before their variables are removed
    for name in HIDDEN:
        os.environ.pop(name, None)
    allow_processes()
    join_guard()
    streams.install()
    take_part()
