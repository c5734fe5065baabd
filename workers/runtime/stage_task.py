"""Every stage as a Celery task of its own name, and the two tasks that belong to no stage."""

from __future__ import annotations

import json
from typing import assert_never

from celery import Celery, Task
from celery.exceptions import TimeLimitExceeded

from orchestrator.authoring.graph import NodeName
from orchestrator.authoring.registry import stages
from orchestrator.compiler.canvas import JOIN
from orchestrator.runs.keys import RunId
from orchestrator.runs.reader import RunReader
from workers.runtime.attempt import Delivery
from workers.runtime.conclude import conclude
from workers.runtime.errors import StageTimeout
from workers.runtime.execute import execute
from workers.runtime.identity import identity
from workers.runtime.job import Job
from workers.runtime.outcome import Again, Committed, Early, Expanded, Failed, Stopped
from workers.runtime.passing import (
    CONCLUDE,
    OVERDUE,
    halt,
    send_conclusion,
    send_item,
    send_items,
    send_onward,
    send_overdue,
    send_ready,
    send_share,
)
from workers.runtime.share import work_share
from workers.runtime.workshop import Workshop, workshop


class StageTask(Task):
    """A stage's task. Its message names a run and a node; `more` says that the canvas goes on behind it."""

    abstract = True
    Request = "workers.runtime.request:StageRequest"
    max_retries = None

    def run(self, run: str, node: str, more: bool = False, share: int | None = None) -> str:
        """Execute one delivery and do what its outcome asks for; returns a word for Flower."""
        shop = workshop()
        job = shop.job(RunId(run))
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        delivery = Delivery(job.run, node, self.request.id, redelivered)
        if share is not None:
            return self._work_share(delivery, job, share, shop)
        outcome = execute(delivery, shop)
        queue = job.task(node).node.policy.queue
        match outcome:
            case Committed(ready, ended_run):
                send_ready(job, ready, shop)
                if ended_run:
                    send_conclusion(job, queue)
                if more:
                    send_onward(job, node, self.request)
                return "committed"
            case Expanded(items):
                send_items(job, node, items, self.request, shop, more=more)
                return f"{items} items"
            case Early():
                return self._park(job, node, more, shop)
            case Stopped(why, ended_run):
                halt(self.request)
                if ended_run:
                    send_conclusion(job, queue)
                return why
            case Again(error, wait):
                raise self.retry(exc=error, countdown=wait)
            case Failed(error, ready, ended_run):
                halt(self.request)
                send_ready(job, ready, shop)
                if ended_run:
                    send_conclusion(job, queue)
                raise error
            case _:
                assert_never(outcome)

    def _work_share(self, delivery: Delivery, job: Job, number: int, shop: Workshop) -> str:
        shared = work_share(delivery, shop, lambda: send_share(job, delivery.node, number))
        send_ready(job, shared.ready, shop)
        for index, wait in shared.retries:
            send_item(job, delivery.node, index, wait)
        if shared.ended_run:
            send_conclusion(job, job.task(delivery.node).node.policy.queue)
        if shared.again:
            send_share(job, delivery.node, number)
        return "more" if shared.again else "none left"

    def _park(self, job: Job, node: str, more: bool, shop: Workshop) -> str:
        message = json.dumps(self.signature_from_request(self.request))
        if shop.runs.park(job.run, NodeName(node), message, job.waits(job.task(node))):
            halt(self.request)
            return "parked"
        return self.run(job.run, node, more)

    def on_failure(self, exc, task_id, args, kwargs, einfo) -> None:  # type: ignore[no-untyped-def]
        """In the worker's parent, after it killed a child that ignored its time limit: the node failed."""
        del args, einfo
        if isinstance(exc, TimeLimitExceeded):
            queue = stages[self.name].policy.queue
            send_overdue(kwargs["run"], identity().delivery(task_id), queue)


def fail_held(run: RunId, delivery: str, shop: Workshop) -> None:
    """Record that what a delivery ran was killed at its time limit."""
    job = shop.job(run)
    for name in RunReader(shop.runs.client).held_by(run, delivery):
        task = job.task(name)
        error = StageTimeout(f"{name} took longer than its time limit of {task.node.policy.time_limit:g} s")
        settled = shop.runs.fail(
            run,
            task.name,
            delivery,
            error=f"StageTimeout: {error}",
            traceback=f"{error}; it did not end by itself, so its process was killed\n",
            group=task.group,
            tolerated=task.node.policy.tolerate,
            wakes=job.wakes(task),
            needed_by=job.needed_by(task),
        )
        send_ready(job, settled.ready, shop)
        if settled.ended_run:
            send_conclusion(job, task.node.policy.queue)


def register_tasks(app: Celery) -> None:
    """Register a task for every stage that the imported modules define."""
    for stage in stages.values():
        if stage.name not in app.tasks:
            attributes = {"name": stage.name, "__doc__": stage.function.__doc__, "__module__": __name__}
            app.register_task(type(stage.function.__name__, (StageTask,), attributes)())


def register_own_tasks(app: Celery) -> None:
    """Register what stands behind maps and at the end of runs."""

    @app.task(name=JOIN, bind=True)
    def join(self: Task, run: str, node: str, more: bool = False) -> None:
        """All items of a map are done: go on behind it."""
        if more:
            send_onward(workshop().job(RunId(run)), node, self.request)

    @app.task(name=OVERDUE)
    def fail_overdue(run: str, delivery: str) -> None:
        """A delivery's process was killed at its time limit: what it ran has failed."""
        fail_held(RunId(run), delivery, workshop())

    @app.task(
        name=CONCLUDE, autoretry_for=(Exception,), retry_backoff=1, retry_backoff_max=60, max_retries=None
    )
    def conclude_run(run: str) -> None:
        """Write down how a run ended, in MLflow and in the artifact store."""
        conclude(RunId(run), workshop())
