"""Celery's request of a stage in the worker's parent process, which detects the loss of a child process."""

from __future__ import annotations

import json

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.concurrency.prefork import TaskPool
from celery.utils.log import get_task_logger
from celery.worker.request import Request
from celery.worker.state import task_ready
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from orchestrator.run_id import RunId
from workers.runtime.dispatch import conclude_again, send_timed_out
from workers.runtime.identity import delivery_of
from workers.runtime.memory import reason_of_death
from workers.runtime.processes import kill, kill_group
from workers.runtime.resources import worker_resources

log = get_task_logger(__name__)


class StageRequest(Request):
    """Marks the attempt of a lost child process as lost before its message is requeued."""

    def on_failure(
        self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Mark the attempt as lost if its process is gone; also called when the task raised."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, TimeLimitExceeded):
            self._send_timed_out(error)
            return
        if isinstance(error, WorkerLostError | SystemExit):
            if self.worker_pid:
                kill_group(self.worker_pid)
            self._mark_lost(reason_of_death(self.worker_pid, error))
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Handle the soft time limit only: at the hard limit, `on_failure` was called just before."""
        if soft:
            super().on_timeout(soft, timeout)

    def terminate(self, pool: TaskPool, signal: str | None = None) -> None:
        """Kill the process and its descendants after its run was cancelled or its node was taken over."""
        if self.worker_pid:
            kill(self.worker_pid, itself=False)
        super().terminate(pool, signal=signal)
        if self.worker_pid:
            kill_group(self.worker_pid)  # descendants started meanwhile
            self._conclude_again()

    def _conclude_again(self) -> None:
        """Conclude the run again, to end MLflow runs that the process started after the first conclusion."""
        try:
            conclude_again(RunId(self.kwargs["run"]), self.delivery_info["routing_key"], worker_resources())
        except (OperationalError, RedisError) as error:
            log.warning("run %s may leave a run of MLflow running: %s", self.kwargs["run"], error)

    def _mark_lost(self, reason: str) -> None:
        try:
            worker_resources().runs.mark_lost(RunId(self.kwargs["run"]), delivery_of(self), error=reason)
        except RedisError as error:
            log.warning("the lease of %s ends by itself: %s", self.kwargs["node"], error)

    def _send_timed_out(self, error: TimeLimitExceeded) -> None:
        """Kill a stage that ignored its time limit; a separate task retries or fails it by its policy.

        Celery would count it as a failed part of its chord here, and drop the messages that follow it.
        """
        task_ready(self)
        message = json.dumps(self.task.signature_from_request(self._context))
        queue = self.delivery_info["routing_key"]
        try:
            send_timed_out(self.kwargs["run"], delivery_of(self), message, queue)
        except (OperationalError, RedisError) as away:
            log.warning("%s goes to others when its lease ends: %s", self.kwargs["node"], away)
            return
        log.error("%s[%s] was killed at its time limit of %s s", self.name, self.id, error.args[0])
        if self.worker_pid:
            kill(self.worker_pid, itself=False)  # billiard kills it, but not its descendants
        self.acknowledge()
        self.send_event("task-failed", exception=repr(error), traceback="")
