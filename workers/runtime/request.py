"""Celery's request of a stage in the worker's parent process, which detects the loss of a child process."""

from __future__ import annotations

import json
from time import time

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.concurrency.prefork import TaskPool
from celery.utils.log import get_task_logger
from celery.worker import state
from celery.worker.request import Request
from celery.worker.state import task_ready
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from orchestrator.authoring.progress import Progress
from orchestrator.run_id import RunId
from workers.runtime.dispatch import conclude_again, send_timed_out
from workers.runtime.identity import delivery_of
from workers.runtime.memory import reason_of_death
from workers.runtime.processes import kill, kill_group
from workers.runtime.resources import worker_resources
from workers.runtime.turn_log import TurnEvent, TurnReader

log = get_task_logger(__name__)


class StageRequest(Request):
    """Marks the attempt of a lost child process as lost before its message is requeued.

    Where a delivery continues in place, each node of its turn is a task of its own to Celery.
    """

    _turn: TurnReader | None = None
    _at: TurnEvent | None = None  #: the node that the turn is at, behind the one of the message
    _own_ended = False  #: the node of the message has ended, and the turn goes on
    progress: tuple[str, Progress] | None = None  #: of a node, as the heartbeat has read it last
    _told: tuple[str, Progress] | None = None  #: the one that Flower knows

    @property
    def node(self) -> str:
        """The node that the delivery is at."""
        return str(self.kwargs["node"]) if self._at is None else self._at.node

    def follow_turn(self) -> None:
        """Send events for the nodes that have started and ended in this delivery's turn."""
        if self._turn is None:
            if self.worker_pid is None:
                return
            self._turn = TurnReader(delivery_of(self), self.worker_pid)
        for event in self._turn.news():
            if event.kind == "started":
                self._begin(event)
            else:
                self._end(event)
        self._tell_progress()

    def _tell_progress(self) -> None:
        """Send an event of how far the node has come: Flower shows its state, and `12/30` as its result."""
        if self.progress is None or self.progress == self._told or self.progress[0] != self.node:
            return
        self._told = self.progress
        told = self.progress[1]
        fields = {"done": told.done, "total": told.total, "description": told.description}
        if self._at is not None:
            self._send(self._at._replace(time=time()), "task-progress", result=told.count, **fields)
        elif not self._own_ended:
            self.send_event("task-progress", result=told.count, **fields)

    def info(self, safe: bool = False) -> dict[str, object]:
        """Describe the node that runs, for `celery inspect`."""
        self.follow_turn()
        told: dict[str, object] = super().info(safe)
        if self._at is not None:
            kwargs = {**self.kwargs, "node": self._at.node}
            told |= {
                "id": self._at.task,
                "name": self._at.name,
                "kwargs": repr(kwargs) if safe else kwargs,
                "time_start": self._at.time,
            }
        return told

    def acknowledge(self) -> None:
        """Send the events of the whole turn, and acknowledge the message."""
        self.follow_turn()
        super().acknowledge()

    def send_event(self, type: str, **fields: object) -> None:
        """Send an event of the message's own node, unless its end was told before."""
        if not (self._own_ended and type == "task-succeeded"):
            super().send_event(type, **fields)

    def _begin(self, event: TurnEvent) -> None:
        self._at = event
        state.requests[event.task] = self  # `celery control revoke` looks there
        kwargs = repr({**self.kwargs, "node": event.node})
        self._send(event, "task-received", name=event.name, args="()", kwargs=kwargs, retries=0)
        self._send(event, "task-started")

    def _end(self, event: TurnEvent) -> None:
        begun = self.time_start if self._at is None else self._at.time
        seconds = event.time - (begun or event.time)
        log.info("Task %s[%s] %s in %ss: %s", event.name, event.task, event.kind, seconds, event.told)
        if event.kind == "succeeded":
            self._send(event, "task-succeeded", result=repr(event.told), runtime=seconds)
        else:
            self._send(event, f"task-{event.kind}", exception=event.told, traceback="")
        self._own_ended = True
        self._leave_turn()

    def _leave_turn(self) -> None:
        """Forget the node that the turn was at."""
        if self._at is not None:
            state.requests.pop(self._at.task, None)
        self._at = None

    def _send(self, event: TurnEvent, type: str, **fields: object) -> None:
        if self._eventer and self._eventer.enabled:
            self._eventer.send(type, uuid=event.task, timestamp=event.time, **fields)

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
            self._leave_turn()
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
        self._leave_turn()
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
