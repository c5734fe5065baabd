"""A message in the worker's parent process, which learns first that a child process is lost."""

from __future__ import annotations

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.utils.log import get_task_logger
from celery.worker.request import Request
from redis.exceptions import RedisError

from orchestrator.runs.keys import RunId
from workers.runtime.identity import identity
from workers.runtime.workshop import workshop

log = get_task_logger(__name__)


class StageRequest(Request):
    """Gives up the lost child's lease before the message goes back to the queue."""

    def on_failure(
        self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Called when an attempt raised, or when its process is gone."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError | SystemExit):
            self._release(f"its process was lost: {error}")
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def _release(self, error: str) -> None:
        try:
            workshop().runs.release(RunId(self.kwargs["run"]), identity().delivery(self.id), error=error)
        except RedisError as away:
            log.warning("%s could not be given up, and ends by itself: %s", self.id, away)
