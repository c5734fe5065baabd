"""A file whose age tells a health check that a service works: looking at it costs next to nothing."""

from __future__ import annotations

from orchestrator.settings import settings


def touch_alive_file() -> None:
    """Touch the file of ORCHESTRATOR_ALIVE_FILE, if there is to be one."""
    path = settings().alive_file
    if path is not None:
        path.touch()
