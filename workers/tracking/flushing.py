"""Flush artifacts to disk (fsync) if MLflow stores them in a folder, since its file store does not.

MLflow's database is flushed at each commit. Without this, a power cut could leave a model with empty files
that MLflow has as complete.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.artifacts.local_files import fsync_tree


def flush_artifacts(location: str, *parts: str) -> None:
    """Flush an artifact location, or one of its files or folders; does nothing for a server's artifacts."""
    folder = _local(location)
    if folder is not None:
        place = folder.joinpath(*parts)
        if place.exists():
            fsync_tree(place)


def _local(location: str) -> Path | None:
    url = urlsplit(location)
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        return Path(unquote(url.path))
    return Path(location) if not url.scheme and location.startswith("/") else None
