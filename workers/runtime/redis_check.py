"""Check that Redis is suitable for runs before a worker starts, however the worker was started."""

from __future__ import annotations

import sys

from orchestrator.authoring.masking import mask_text
from orchestrator.errors import OrchestratorError
from orchestrator.runs.connection import wait_for_redis
from orchestrator.settings import settings
from orchestrator.text import visible


def check_redis(**_: object) -> None:
    """Wait for Redis if it is unavailable; exit if its configuration is refused.

    `orchestrator worker` has already checked it; `celery -A workers worker` has not.
    """
    url = settings().redis_url
    if url is None:
        return  # Celery reports the missing broker
    try:
        wait_for_redis(url, evicting=settings().redis_eviction, warn=lambda text: _tell(f"note: {text}"))
    except OrchestratorError as error:
        _tell(f"{type(error).__name__}: {error}")
        if error.hint:
            _tell(f"hint: {error.hint}")
        raise SystemExit(error.exit_status) from None


def _tell(text: str) -> None:
    print(visible(mask_text(text)), file=sys.stderr)
