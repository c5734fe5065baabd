"""How to open a run in MLflow."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from orchestrator.authoring.masking import mask_text
from orchestrator.cli.calling import as_called
from orchestrator.settings import Settings
from orchestrator.tracking_address import local_tracking_uri


def ways_to_open(mlflow_run_id: str | None, settings: Settings, pages: str | None) -> list[str]:
    """Lines that say it; `pages` is the address of an MLflow that is up here, if one is."""
    if not mlflow_run_id:
        return []
    uri = pages or settings.mlflow_ui_url or settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        return [f"{_for_browsers(uri)}/#/runs/{mlflow_run_id}"]
    lines = [f"run {mlflow_run_id}"]
    if uri == local_tracking_uri(settings.home):
        return [*lines, as_called("open it with `orchestrator up`")]
    return [*lines, f"open it with `mlflow ui --backend-store-uri {mask_text(uri)}`"]


def _for_browsers(uri: str) -> str:
    """The address without the credentials that workers use: a browser asks for the reader's own."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
