"""Every stage as a Celery task of its own name, and the two tasks that belong to no stage."""

from __future__ import annotations

import json
from typing import assert_never

from celery import Celery, Task
from celery.exceptions import TimeLimitExceeded
from celery.utils.log import get_task_logger

from orchestrator.authoring.registry import stages
from orchestrator.compiler.canvas import JOIN
from orchestrator.runs.keys import RunId
from workers.runtime.conclude import conclude
from workers.runtime.errors import StageTimeout
from workers.runtime.execute import Delivery, execute
from workers.runtime.identity import identity
from workers.runtime.outcome import Again, Committed, Early, Expanded, Failed, Stopped
from workers.runtime.passing import (
    CONCLUDE,
    OVERDUE,
    halt,
    send_conclusion,
    send_items,
    send_onward,
    send_overdue,
    send_ready,
)
from workers.runtime.workshop import workshop

log = get_task_logger(__name__)


class StageTask(Task):
    """A stage's task. Its message names a run and a node; `more` says that the canvas goes on behind it."""

    abstract = True
    Request = "workers.runtime.request:StageRequest"
    max_retries = None

    def run(self, run: str, node: str, more: bool = False) -> str:
        """Execute one delivery and do what its outcome asks for; returns a word for Flower."""
        shop = workshop()
        job = shop.job(RunId(run))
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        outcome = execute(Delivery(job.run, node, redelivered), shop)
        if getattr(outcome, "ended_run", False):
            send_conclusion(job, job.task(node).node.policy.queue)
        match outcome:
            case Committed(ready):
                send_ready(job, ready, shop)
                if more:
                    send_onward(job, node, self.request)
                return "committed"
            case Expanded(items):
                send_items(job, node, items, self.request, more=more)
                return f"{items} items"
            case Early():
                return self._park(job, node, more, shop)
            case Stopped(why):
                halt(self.request)
                return why
            case Again(error, wait):
                raise self.retry(exc=error, countdown=wait)
            case Failed(error):
                halt(self.request)
                raise error
            case _:
                assert_never(outcome)

    def _park(self, job, node, more, shop) -> str:  # type: ignore[no-untyped-def]
        message = json.dumps(dict(self.signature_from_request(self.request)))
        if shop.runs.park(job.run, node, message, job.waits(job.task(node))):
            halt(self.request)
            return "parked"
        return self.run(job.run, node, more)

    def on_failure(self, exc, task_id, args, kwargs, einfo) -> None:  # type: ignore[no-untyped-def]
        """In the worker's parent, after it killed a child that ignored its time limit: the node failed."""
        del task_id, args, einfo
        if isinstance(exc, TimeLimitExceeded):
            send_overdue(kwargs["run"], kwargs["node"], identity().instance, stages[self.name].policy.queue)


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
    def fail_overdue(run: str, node: str, instance: str) -> None:
        """A node was killed at its time limit: it has failed."""
        shop = workshop()
        job = shop.job(RunId(run))
        task = job.task(node)
        error = StageTimeout(f"{node} took longer than its time limit of {task.node.policy.time_limit:g} s")
        settled = shop.runs.fail(
            job.run,
            task.name,
            instance,
            error=f"StageTimeout: {error}",
            traceback=f"{error}; it did not end by itself, so its process was killed\n",
            group=task.group,
            needed_by=job.needed_by(task),
        )
        if settled.ended_run:
            send_conclusion(job, task.node.policy.queue)

    @app.task(
        name=CONCLUDE, autoretry_for=(Exception,), retry_backoff=1, retry_backoff_max=60, max_retries=None
    )
    def conclude_run(run: str) -> None:
        """Write down how a run ended, in MLflow and in the artifact store."""
        conclude(RunId(run), workshop())
