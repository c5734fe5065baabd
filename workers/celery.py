"""The Celery application as a worker loads it: with a task for every stage of the known pipelines."""

from __future__ import annotations

import logging

from celery import signals

from orchestrator.code import keep_sources
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.messaging.app import app
from orchestrator.settings import settings
from workers.runtime.builtin_tasks import register_builtin_tasks
from workers.runtime.groups import ProcessGroups, guard_groups
from workers.runtime.heartbeat import Heartbeat
from workers.runtime.loaded_code import know_code
from workers.runtime.masked_log import mask_log
from workers.runtime.memory import MemoryWatch
from workers.runtime.outbox_sender import OutboxSender
from workers.runtime.periodic import PeriodicChecks
from workers.runtime.pool_process import expect_children
from workers.runtime.redis_check import check_redis
from workers.runtime.shutdown import GracefulShutdown
from workers.runtime.stage_task import register_tasks
from workers.runtime.turn_log import TurnWatch

__all__ = ["app"]

for problem in load_catalogue(settings().modules).broken:
    logging.getLogger(__name__).error("%s", problem)

mask_log()
keep_sources()
signals.worker_init.connect(check_redis, weak=False)
signals.worker_init.connect(know_code, weak=False)
app.add_defaults({"worker_pool": "workers.runtime.pool:ProcessPool"})
register_builtin_tasks(app)
register_tasks(app)
app.steps["worker"].update((Heartbeat, GracefulShutdown, PeriodicChecks))
app.steps["worker"].update((MemoryWatch, OutboxSender, ProcessGroups, TurnWatch))
expect_children()
guard_groups()
