"""The Celery application: JSON only, late acknowledgement, prefetch of one message."""

from __future__ import annotations

import threading

from celery import Celery
from kombu import Queue

from orchestrator.messaging.chords import backend_url
from orchestrator.settings import settings

DAY = 86_400


def configuration() -> dict[str, object]:
    """Return Celery's configuration; docs/decisions explains it."""
    chosen = settings()
    return {
        "broker_url": chosen.redis_url,
        "result_backend": backend_url(chosen.redis_url),
        # JSON and nothing else, in both directions
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # Acknowledge a message after its work is committed; requeue it if the child process is lost
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # In KiB: a child process that has used more is replaced after its stage
        "worker_max_memory_per_child": chosen.memory_limit // 1024 if chosen.memory_limit else None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Longer than any stage: leases, not the visibility timeout, detect dead workers
        "broker_transport_options": {"visibility_timeout": 7 * DAY},
        # Retry without limit: a worker that stopped retrying would have to be restarted by hand
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Outputs are artifacts; the result backend only counts chords
        "task_ignore_result": True,
        "result_expires": DAY,
        "task_queues": [Queue(name) for name in chosen.queues],
        "task_default_queue": chosen.queues[0],
        "task_create_missing_queues": False,
        "worker_send_task_events": True,
        "worker_hijack_root_logger": True,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def follow_settings() -> None:
    """Have the application send to the Redis of the settings, if it has sent to another one before.

    A program that stays may outlive the stack that it sends to; Celery reads its configuration once.
    """
    chosen = settings()
    if not app.configured or app.conf.broker_url == chosen.redis_url:
        return
    anew = configuration()
    changed = ("broker_url", "result_backend", "task_queues", "task_default_queue")
    app.conf.update({name: anew[name] for name in changed})
    app._after_fork()  # drops the connections that it keeps
    app.__dict__.pop("amqp", None)  # and the queues that it knows
    app._backend_cache, app._local = None, threading.local()


app = Celery("orchestrator", amqp="orchestrator.messaging.transport:Protocol", set_as_current=True)
app.add_defaults(configuration)  # lazy: settings are read at first use
