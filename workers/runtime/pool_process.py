"""What a process of a worker's pool begins with.

It waits for a Redis that is away, and keeps what it has; its stages may start processes, see no password of
Redis in their environment, and what they print is kept.
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

#: Tries to send a message, a second apart. Celery takes no word for "endless" here; after an hour the message
#: that is being worked on goes back to its queue, and whoever gets it next finds the node done.
TRIES = 3600


#: Variables that a stage need not see. What MLflow's and the store's own clients read has to stay.
HIDDEN = ("REDIS_URL", "REDIS_URL_FILE", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE")


def expect_children() -> None:
    """Have every process of the pool begin with that."""
    signals.worker_process_init.connect(_begin, weak=False)


def _begin(**_: object) -> None:
    wait_for_ever()
    app.conf.task_publish_retry_policy.update(max_retries=TRIES)
    app.backend.__dict__.pop("client", None)  # where the parent made one before it forked
    settings()  # it is read here for the last time
    for name in HIDDEN:
        os.environ.pop(name, None)
    allow_processes()
    join_guard()
    streams.install()
