"""The application as a worker loads it: with a Celery task for every stage of the known pipelines."""

from __future__ import annotations

from orchestrator.app import app

__all__ = ["app"]
