"""Requeue what a stopping worker holds: messages it has not begun, and stages that did not finish."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from celery.worker import WorkController, state
from celery.worker.request import Request
from redis.exceptions import RedisError

from orchestrator.messaging.unacked import UNACKED, requeue_message
from orchestrator.run_id import RunId
from workers.runtime.identity import delivery_of
from workers.runtime.processes import kill
from workers.runtime.resources import worker_resources

if TYPE_CHECKING:
    from billiard.process import BaseProcess

log = logging.getLogger(__name__)

#: Error of an attempt that was still running at the end of the grace period.
STOPPED = "its worker was stopped"
#: Seconds to wait for a killed process to exit.
_DEATH_SECONDS = 2.0


def has_begun(request: Request) -> bool:
    """Whether a pool process has received the message, or is about to receive it."""
    job = request._apply_result and request._apply_result()
    return request in state.active_requests or bool(job and job._write_to)


def requeue(worker: WorkController, requests: Iterable[Request]) -> None:
    """Put messages back at the consuming end of their queues, and drop them from this worker's state."""
    client = worker_resources().runs.client
    outbound = worker.pool._pool.outbound_buffer
    for request in requests:
        if request._eta_timer_entry is not None:
            worker.timer.cancel(request._eta_timer_entry)
        job = request._apply_result and request._apply_result()
        if job is not None:
            job.discard()
            with contextlib.suppress(ValueError):
                outbound.remove(job)
        tag = request.message.delivery_tag
        fetched = client.hget(UNACKED, tag)
        if fetched is not None:
            message, _, queue = json.loads(str(fetched))
            requeue_message(client, tag, message, queue)
        state.task_ready(request)
        state.scheduled_requests.discard(request)


def kill_and_requeue(worker: WorkController) -> None:
    """Kill the processes that still run, and requeue their messages at once for other workers."""
    pool = worker.pool._pool
    running = list(state.reserved_requests)
    processes = [child for child in pool._pool if child.pid in set(map(_process_of, running))]
    kill_all(worker, processes)
    for child in processes:
        pool.process_flush_queues(child)  # collect results that arrived just before the kill
    unfinished = [request for request in running if request in state.reserved_requests]
    try:
        for request in unfinished:
            if "node" in request.kwargs:
                run, delivery = RunId(request.kwargs["run"]), delivery_of(request)
                worker_resources().runs.mark_lost(run, delivery, error=STOPPED, spared=True)
                extra = {"action": "requeued", "run": run, "node": request.kwargs["node"]}
                log.warning("%s of run %s is requeued: %s", request.name, run, STOPPED, extra=extra)
        requeue(worker, unfinished)
    except RedisError as error:
        log.warning("what ran here goes to others when its leases end: %s", error)


def _process_of(request: Request) -> int | None:
    job = request._apply_result and request._apply_result()
    writing_to: BaseProcess | None = job and job._write_to
    return request.worker_pid or (writing_to.pid if writing_to else None)


def kill_all(worker: WorkController, processes: Iterable[BaseProcess]) -> None:
    """Kill processes of the pool without replacing them; return once they have exited."""
    worker.pool.close()
    for child in processes:
        child._controlled_termination = True  # else billiard logs an error
        kill(child.pid)
        child._popen.wait(_DEATH_SECONDS)
