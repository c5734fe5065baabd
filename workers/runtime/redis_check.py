"""Before a worker begins: its Redis is one that runs can be entrusted to, however the worker was started."""

from __future__ import annotations

import sys

from orchestrator.authoring.masking import mask_text
from orchestrator.errors import OrchestratorError
from orchestrator.runs.connection import wait_for
from orchestrator.settings import settings
from orchestrator.text import visible


def check_redis(**_: object) -> None:
    """Wait for a Redis that is away; end the process where waiting would not help.

    `orchestrator worker` has asked already; for `celery -A workers worker` nobody has.
    """
    url = settings().redis_url
    if url is None:
        return  # Celery says that it has no broker
    try:
        wait_for(url, evicting=settings().redis_eviction, warn=lambda text: _tell(f"note: {text}"))
    except OrchestratorError as error:
        _tell(f"{type(error).__name__}: {error}")
        if error.hint:
            _tell(f"hint: {error.hint}")
        raise SystemExit(error.exit_status) from None


def _tell(text: str) -> None:
    print(visible(mask_text(text)), file=sys.stderr)
