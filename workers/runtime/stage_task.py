"""Every stage as a Celery task of its own name."""

from __future__ import annotations

import json
from time import sleep
from typing import assert_never

from celery import Celery, Task
from celery.exceptions import Reject, TimeLimitExceeded
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.graph import NodeName
from orchestrator.authoring.registry import stages
from orchestrator.coordinator.cancelling import terminate
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.keys import RunId
from workers.runtime.attempt import Delivery
from workers.runtime.execute import execute
from workers.runtime.identity import identity
from workers.runtime.job import Job
from workers.runtime.outcome import Again, Committed, Early, Expanded, Failed, Stopped
from workers.runtime.passing import (
    halt,
    send_ending,
    send_item,
    send_items,
    send_onward,
    send_overdue,
    send_ready,
    send_share,
)
from workers.runtime.share import work_share
from workers.runtime.workshop import Workshop, workshop

log = get_task_logger(__name__)

#: Seconds before a message is handed back that could not be worked on, because a service is away.
PAUSE = 2.0


class StageTask(Task):
    """A stage's task. Its message names a run and a node; `more` says that the canvas goes on behind it."""

    abstract = True
    Request = "workers.runtime.request:StageRequest"
    max_retries = None

    def run(self, run: str, node: str, more: bool = False, share: int | None = None, round: int = 0) -> str:
        """Execute one delivery and do what its outcome asks for; returns a word for Flower."""
        shop = workshop()
        try:
            job = shop.job(RunId(run), round)
            word = self._deliver(job, node, more, share, shop)
        except UnknownRun as error:
            log.warning("message dropped: %s", error)
            halt(self.request)
            return "unknown run"
        except (RedisError, StoreError, OperationalError) as error:
            log.warning("%s of run %s is handed back: %s", node, run, error)
            sleep(PAUSE)
            raise Reject(error, requeue=True) from error
        if isinstance(word, Exception):
            raise word  # for Celery's log and Flower: the failure itself is recorded
        return word

    def _deliver(self, job: Job, node: str, more: bool, share: int | None, shop: Workshop) -> str | Exception:
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        delivery = Delivery(job.run, node, self.request.id, redelivered, job.round.number)
        if share is not None:
            return self._work_share(delivery, job, share, shop)
        outcome = execute(delivery, shop)
        match outcome:
            case Committed(ready, ending):
                send_ready(job, ready, shop)
                send_ending(job, ending, shop)
                if more:
                    send_onward(job, node, self.request)
                return "committed"
            case Expanded(items, ending):
                send_items(job, node, items, self.request, shop, more=more)
                send_ending(job, ending, shop)
                return f"{items} items"
            case Early():
                return self._park(job, node, more, shop)
            case Stopped(why, ending):
                halt(self.request)
                send_ending(job, ending, shop)
                return why
            case Again(error, wait):
                raise self.retry(exc=error, countdown=wait)
            case Failed(error, ready, ending, stopped):
                halt(self.request)
                terminate(stopped)
                send_ready(job, ready, shop)
                send_ending(job, ending, shop)
                return error
            case _:
                assert_never(outcome)

    def _work_share(self, delivery: Delivery, job: Job, number: int, shop: Workshop) -> str:
        shared = work_share(delivery, shop, lambda: send_share(job, delivery.node, number))
        send_ready(job, shared.ready, shop)
        for index, wait in shared.retries:
            send_item(job, delivery.node, index, wait)
        terminate(shared.stopped)
        send_ending(job, shared.ending, shop)
        if shared.again:
            send_share(job, delivery.node, number)
        return "more" if shared.again else "none left"

    def _park(self, job: Job, node: str, more: bool, shop: Workshop) -> str | Exception:
        message = json.dumps(self.signature_from_request(self.request))
        if shop.runs.park(job.run, NodeName(node), message, job.waits(job.task(node))):
            halt(self.request)
            return "parked"
        return self._deliver(job, node, more, None, shop)

    def on_failure(self, exc, task_id, args, kwargs, einfo) -> None:  # type: ignore[no-untyped-def]
        """In the worker's parent, after it killed a child that ignored its time limit: the node failed."""
        del args, einfo
        if isinstance(exc, TimeLimitExceeded):
            queue = stages[self.name].policy.queue
            send_overdue(kwargs["run"], identity().delivery(task_id), queue)


def register_tasks(app: Celery) -> None:
    """Register a task for every stage that the imported modules define."""
    for stage in stages.values():
        if stage.name not in app.tasks:
            attributes = {"name": stage.name, "__doc__": stage.function.__doc__, "__module__": __name__}
            app.register_task(type(stage.function.__name__, (StageTask,), attributes)())
