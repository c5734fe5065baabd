"""How to open a run in MLflow."""

from __future__ import annotations

from orchestrator.cli.calling import as_called
from orchestrator.settings import Settings

_SQLITE = "sqlite:///"


def ways_to_open(mlflow_run_id: str | None, settings: Settings, pages: str | None) -> list[str]:
    """Lines that say it; `pages` is the address of an MLflow that is up here, if one is."""
    if not mlflow_run_id:
        return []
    uri = pages or settings.mlflow_pages or settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        return [f"{uri.rstrip('/')}/#/runs/{mlflow_run_id}"]
    lines = [f"run {mlflow_run_id}"]
    if uri == f"{_SQLITE}{settings.home / 'mlflow.db'}":
        return [*lines, as_called("open it with `orchestrator up`")]
    return [*lines, f"open it with `mlflow ui --backend-store-uri {uri}`"]
