"""Before a worker begins: its Redis is one that runs can be entrusted to, however the worker was started."""

from __future__ import annotations

from orchestrator.cli.connection import wait_for
from orchestrator.cli.messages import tell_error
from orchestrator.errors import OrchestratorError
from orchestrator.settings import settings


def check_redis(**_: object) -> None:
    """Wait for a Redis that is away; end the process where waiting would not help.

    `orchestrator worker` has asked already; for `celery -A workers worker` nobody has.
    """
    url = settings().redis_url
    if url is None:
        return  # Celery says that it has no broker
    try:
        wait_for(url)
    except OrchestratorError as error:
        raise SystemExit(tell_error(error)) from None
