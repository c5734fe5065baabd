"""Built-in Celery tasks that belong to no stage: for the end of runs, and for nodes that cannot run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from time import sleep
from uuid import uuid4

from celery import Celery
from celery.signals import task_rejected, task_unknown
from kombu import Message
from redis.exceptions import RedisError

from orchestrator.artifacts.errors import StoreUnavailable
from orchestrator.errors import OrchestratorError
from orchestrator.lifecycle.ending import LONGEST_WAIT
from orchestrator.messaging.app import app
from orchestrator.messaging.tasks import CONCLUDE, DELIVER, TIMED_OUT, UNKNOWN, batch_number
from orchestrator.run_id import RunId
from orchestrator.runs.values import AttemptCounts, ClaimStatus, Holder
from workers.runtime.claimed_node import ClaimedNode, Delivery
from workers.runtime.code_check import lacks_new_module
from workers.runtime.conclude import conclude
from workers.runtime.dispatch import (
    send_again,
    send_consequences,
    send_unknown,
)
from workers.runtime.error_text import in_one_line
from workers.runtime.errors import UnknownStage
from workers.runtime.hard_timeout import settle_timed_out
from workers.runtime.map_batches import MOST
from workers.runtime.outcome import Failed
from workers.runtime.reloading import ask_for_reload
from workers.runtime.resources import WorkerResources, worker_resources
from workers.runtime.run_context import NodeRef, RunContext
from workers.runtime.stage_task import SOON
from workers.tracking import TrackingUnavailable

log = logging.getLogger(__name__)


def register_builtin_tasks(app: Celery) -> None:
    """Register the tasks that conclude runs and deliver outboxes, and those for nodes that cannot run."""

    in_time = {"retry_backoff": 1, "retry_backoff_max": LONGEST_WAIT}
    patiently = {**in_time, "max_retries": None}

    @app.task(name=UNKNOWN, autoretry_for=(StoreUnavailable,), **patiently)
    def fail_unknown(
        run: str, node: str, stage: str, round: int = 0, batch: bool = False, share: bool = False
    ) -> None:
        """Fail a node whose stage this worker does not know: other workers may not know it either."""
        why = f"no worker of its queue knows the stage {stage}"
        fail_unclaimed(
            worker_resources().context(RunId(run), round), node, why, worker_resources(), batch=batch or share
        )

    @app.task(name=TIMED_OUT, autoretry_for=(StoreUnavailable,), **patiently)
    def judge_timed_out(run: str, delivery: str, message: str) -> None:
        """Retry or fail the node of a delivery whose process was killed at its time limit."""
        settle_timed_out(RunId(run), delivery, message, worker_resources())

    @app.task(name=CONCLUDE, autoretry_for=(Exception,), **patiently)
    def conclude_run(run: str) -> None:
        """Write the end of a run to MLflow and to the artifact store."""
        try:
            conclude(RunId(run), worker_resources())
        except Exception as error:  # whatever it is, it is tried again, and people see why
            told = str(error) if isinstance(error, OrchestratorError) else in_one_line(error)
            log.warning("run %s is concluded later: %s", run, told, extra={"action": "not_concluded"})
            with suppress(RedisError):
                worker_resources().runs.set_conclusion_error(RunId(run), told)
            raise

    @app.task(name=DELIVER, autoretry_for=(TrackingUnavailable,), **in_time)
    def deliver(run: str) -> None:
        """Deliver the run's outbox to MLflow; what remains is delivered when the run is concluded."""
        worker_resources().tracking.deliver(run)


def fail_unclaimed(
    context: RunContext, node: str, why: str, resources: WorkerResources, *, batch: bool = False
) -> None:
    """Claim and fail a node that cannot run here; for a batch, all remaining items of the map."""
    ref = context.node_ref(node)
    holder = Delivery(context.run, node, uuid4().hex, round=context.round.number).holder(uuid4().hex)
    error = UnknownStage(f"{why}: are its module and ORCHESTRATOR_PIPELINES the same on every machine?")
    taken = (
        _take_all(context.run, ref, holder, resources)
        if batch
        else _claim(context.run, ref, holder, resources)
    )
    for each, counts in taken:
        claimed = ClaimedNode(context, each, holder.token, counts, redelivered=False, resources=resources)
        outcome = claimed.failed(error)
        if isinstance(outcome, Failed):
            send_consequences(context, each.name, outcome, resources)
    resources.runs.drop_lease(context.run, holder.delivery)


def _claim(
    run: RunId, ref: NodeRef, holder: Holder, resources: WorkerResources
) -> Iterator[tuple[NodeRef, AttemptCounts]]:
    claim = resources.runs.claim(run, ref.name, holder)
    if claim.status is ClaimStatus.CLAIMED:
        yield ref, claim.counts


def _take_all(
    run: RunId, ref: NodeRef, holder: Holder, resources: WorkerResources
) -> Iterator[tuple[NodeRef, AttemptCounts]]:
    while items := resources.runs.take(run, ref.name, holder, wanted=MOST).items:
        for index, counts in items.items():
            yield ref.item(index), counts


@task_rejected.connect
def tell_refused(message: object, exc: Exception | None, **_: object) -> None:
    """In the worker's parent process: send Flower a `task-rejected` event for a refused message."""
    headers = message.get("headers") if isinstance(message, dict) else None
    id = headers.get("id") if isinstance(headers, dict) else None
    with app.events.default_dispatcher() as dispatcher:
        dispatcher.send("task-rejected", uuid=id if isinstance(id, str) else uuid4().hex, exception=str(exc))


@task_unknown.connect
def tell_unknown(name: str, message: Message, **_: object) -> None:
    """In the worker's parent process: handle a message that names a stage not registered here."""
    _, kwargs, _ = message.payload
    if "node" in kwargs:
        queue = message.delivery_info["routing_key"]
        if lacks_new_module(name):
            ask_for_reload()
            sleep(SOON)
            send_again(message, queue)
            return
        of = {"batch": batch_number(kwargs) is not None, "round": kwargs.get("round", 0)}
        send_unknown(kwargs["run"], kwargs["node"], name, queue, **of)
