"""The tasks that belong to no stage: behind maps, at the end of runs, and for nodes that cannot run."""

from __future__ import annotations

from uuid import uuid4

from celery import Celery, Task
from celery.signals import task_unknown
from kombu import Message

from orchestrator.compiler.canvas import JOIN
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import Verdict
from workers.runtime.attempt import Delivery
from workers.runtime.conclude import conclude
from workers.runtime.errors import UnknownStage
from workers.runtime.overdue import settle_overdue
from workers.runtime.passing import (
    CONCLUDE,
    OVERDUE,
    UNKNOWN,
    send_conclusion,
    send_onward,
    send_unknown,
)
from workers.runtime.workshop import Workshop, workshop


def register_own_tasks(app: Celery) -> None:
    """Register what stands behind maps and at the end of runs."""

    @app.task(name=JOIN, bind=True)
    def join(self: Task, run: str, node: str, more: bool = False, round: int = 0) -> None:
        """All items of a map are done: go on behind it."""
        if more:
            send_onward(workshop().job(RunId(run), round), node, self.request)

    @app.task(name=UNKNOWN)
    def fail_unknown(run: str, node: str, stage: str) -> None:
        """This worker has no code for a stage: its node fails, since nobody else may have it either."""
        fail_unclaimed(RunId(run), node, f"no worker of its queue knows the stage {stage}", workshop())

    @app.task(name=OVERDUE)
    def judge_overdue(run: str, delivery: str, message: str) -> None:
        """A delivery's process was killed at its time limit: it may run again, or has failed."""
        settle_overdue(RunId(run), delivery, message, workshop())

    @app.task(
        name=CONCLUDE, autoretry_for=(Exception,), retry_backoff=1, retry_backoff_max=60, max_retries=None
    )
    def conclude_run(run: str) -> None:
        """Write down how a run ended, in MLflow and in the artifact store."""
        conclude(RunId(run), workshop())


def fail_unclaimed(run: RunId, node: str, why: str, shop: Workshop) -> None:
    """Record that a node cannot be run here at all."""
    job = shop.job(run)
    task = job.task(node)
    holder = Delivery(run, node, uuid4().hex).holder(uuid4().hex)
    if shop.runs.claim(run, task.name, holder).verdict is not Verdict.CLAIMED:
        return
    error = UnknownStage(f"{why}: are its module and ORCHESTRATOR_PIPELINES the same on every machine?")
    settled = shop.runs.fail(
        run,
        task.name,
        holder.token,
        error=f"UnknownStage: {error}",
        traceback=f"{error}\n",
        group=task.group,
        needed_by=job.needed_by(task),
    )
    if settled.ended_run:
        send_conclusion(job, shop)


@task_unknown.connect
def tell_unknown(name: str, message: Message, **_: object) -> None:
    """In the worker's parent: a message names a stage that is not registered here."""
    _, kwargs, _ = message.payload
    if "node" in kwargs:
        queue = message.delivery_info["routing_key"]
        send_unknown(kwargs["run"], kwargs["node"], name, queue)
