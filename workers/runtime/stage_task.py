"""Register each stage as a Celery task under its own name, and process its messages."""

from __future__ import annotations

from functools import partial
from time import sleep
from typing import NoReturn

from billiard.common import terminate_handler_fired
from celery import Celery, Task
from celery.app.task import Context
from celery.exceptions import Reject, TaskPredicate
from celery.utils.log import get_task_logger
from kombu.exceptions import OperationalError
from redis.exceptions import DataError, RedisError, ResponseError

from orchestrator.artifacts.errors import StoreError, StoreUnavailable
from orchestrator.authoring.stage import stages
from orchestrator.lifecycle.ending import terminate
from orchestrator.messaging.priorities import headers_of
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from workers.runtime.claimed_node import Delivery
from workers.runtime.code_check import is_outdated
from workers.runtime.dispatch import (
    fail_unreadable,
    halt,
    pass_on,
    send_batch,
    send_ending,
    send_item,
    send_lost,
    send_lost_handlers,
    send_outbox_deliveries,
    send_ready,
)
from workers.runtime.error_text import in_one_line
from workers.runtime.errors import StageFailed
from workers.runtime.identity import identity
from workers.runtime.map_batches import work_batch
from workers.runtime.outcome import Again, Committed, Failed
from workers.runtime.reloading import ask_for_reload
from workers.runtime.resources import WorkerResources, worker_resources
from workers.runtime.run_context import RunContext
from workers.runtime.turn import COMMITTED, Turn, settle

log = get_task_logger(__name__)

#: Retries of a message whose run cannot be read although the store answers: another worker may be able to.
UNREADABLE = 3

#: Seconds to wait before a message is requeued because a service is unavailable.
PAUSE = 2.0
#: Seconds to wait before a message is requeued because this worker is about to be replaced.
SOON = 0.2


class StageTask(Task):
    """The Celery task of a stage. Its message names a run and a node; `again` marks one sent before."""

    abstract = True
    Request = "workers.runtime.request:StageRequest"
    max_retries = None

    def run(
        self,
        *,
        run: str,
        node: str,
        batch: int | None = None,
        round: int = 0,
        again: bool = False,
        share: int | None = None,
    ) -> str:
        """Execute one delivery and send the messages its outcome requires; return a short result for Flower.

        With `batch`, run items of the map `node`; messages of earlier versions name this argument `share`.
        """
        resources = worker_resources()
        try:
            context = resources.context(RunId(run), round)
            if not context.knows(node):
                log.error("message dropped: run %s has no node %r", run, node)
                halt(self.request)
                return "unknown node"
            word = self._execute_message(
                context, node, share if batch is None else batch, resources, again=again
            )
            send_outbox_deliveries(resources)
        except UnknownRun as error:
            log.warning("message dropped: %s", error)
            halt(self.request)
            return "unknown run"
        except StoreUnavailable as error:
            self._requeue(run, node, error)
        except StoreError as error:
            return self._cannot_read(RunId(run), error, resources)
        except (RedisError, OperationalError) as error:
            if is_refusal(error):
                self._count_as_lost(RunId(run), node, error, resources)
            self._requeue(run, node, error)
        except TaskPredicate:
            raise  # Retry, Reject and Ignore are instructions to Celery
        except BaseException as error:
            if terminate_handler_fired():
                raise
            self._count_as_lost(RunId(run), node, error, resources)
        if isinstance(word, StageFailed):
            raise word  # for Celery's log and Flower only: the failure is already recorded
        return word

    def _count_as_lost(
        self, run: RunId, node: str, error: BaseException, resources: WorkerResources
    ) -> NoReturn:
        """Count an attempt whose end could not be recorded as lost; after a few of them, the node fails."""
        log.exception("%s of run %s could not be recorded", node, run)
        why = f"its end could not be recorded: {in_one_line(error)}"
        resources.runs.mark_lost(run, identity().delivery(self.request.id, tag_of(self.request)), error=why)
        sleep(PAUSE)
        raise Reject(why, requeue=True) from error

    def _requeue(self, run: str, node: str, error: Exception) -> NoReturn:
        """Requeue the message because a service is unavailable."""
        log.warning("%s of run %s is requeued: %s", node, run, error)
        sleep(PAUSE)
        raise Reject(error, requeue=True) from error

    def _leave_to_reloaded(self, context: RunContext, node: str) -> NoReturn:
        """Requeue the message for a reloaded worker: the code on disk is newer than this worker's."""
        log.warning("%s of run %s waits for a worker with its code", node, context.run)
        ask_for_reload()
        sleep(SOON)
        raise Reject("this worker's code is outdated", requeue=True)

    def _cannot_read(self, run: RunId, error: StoreError, resources: WorkerResources) -> str:
        """Retry a message whose run this worker cannot read; after UNREADABLE retries, fail the run."""
        if self.request.retries < UNREADABLE:
            raise self.retry(exc=error, countdown=PAUSE * 2**self.request.retries)
        halt(self.request)
        fail_unreadable(run, error, self.request.delivery_info["routing_key"], resources)
        return "failed: it cannot be read"

    def _execute_message(
        self, context: RunContext, node: str, batch: int | None, resources: WorkerResources, *, again: bool
    ) -> str | StageFailed:
        redelivered = again or bool((self.request.delivery_info or {}).get("redelivered"))
        if is_outdated(context, context.node_ref(node).node):
            self._leave_to_reloaded(context, node)
        delivery = Delivery(
            context.run, node, self.request.id, tag_of(self.request), redelivered, context.round.number
        )
        if redelivered:
            send_lost_handlers(context, resources)
        if batch is not None:
            return self._work_batch(delivery, context, batch, resources)
        turn = Turn(delivery, context, self.request, resources)
        outcome = turn.run()
        if turn.continued:
            turn.finish(outcome)
            return COMMITTED
        match outcome:  # of the message's own node: Celery sends what follows it, or the message again
            case Committed(ready, ending):
                pass_on(context, node, ready, self.request, resources)
                if redelivered:
                    send_lost(context, node, ready, self.request, resources)
                send_ending(context, ending, resources)
                return COMMITTED
            case Again(error, wait):
                headers = headers_of(context.node_ref(turn.node).node.policy.priority)
                raise self.retry(exc=StageFailed(error), countdown=wait, headers=headers)
        halt(self.request)
        word = settle(context, turn.node, outcome, resources)
        return StageFailed(word).with_traceback(outcome.trace) if isinstance(outcome, Failed) else word

    def _work_batch(
        self, delivery: Delivery, context: RunContext, number: int, resources: WorkerResources
    ) -> str:
        call, retry = partial(send_batch, context), partial(send_item, context, delivery.node)
        outcome = work_batch(delivery, number, resources, call, retry)
        terminate(outcome.stopped)
        turn = Turn(delivery, context, self.request, resources)
        last = turn.run_behind(outcome)
        if turn.continued:
            turn.finish(last)
        else:
            send_ready(context, delivery.node, outcome.ready, resources)
            if delivery.redelivered:
                send_lost(context, delivery.node, outcome.ready, self.request, resources)
            send_ending(context, outcome.ending, resources)
        return COMMITTED


def tag_of(request: Context) -> str:
    """Return the delivery tag of a request: it tells deliveries of the same message apart."""
    return str((request.properties or {}).get("delivery_tag", ""))


def is_refusal(error: Exception) -> bool:
    """Whether Redis rejects this call permanently, so that a retry cannot help."""
    return isinstance(error, DataError) or (type(error) is ResponseError and "user_script" in str(error))


def register_tasks(app: Celery) -> None:
    """Register a task for every stage that the imported modules define."""
    for stage in stages.values():
        if stage.name not in app.tasks:
            attributes = {"name": stage.name, "__doc__": stage.function.__doc__, "__module__": __name__}
            app.register_task(type(stage.function.__name__, (StageTask,), attributes)())
