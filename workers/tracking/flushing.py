"""Has artifacts on the disk where MLflow keeps them in a folder, as its file store does not see to that.

MLflow's database is flushed at each commit. Without this, a power cut would leave a model that MLflow has as
complete, with empty files.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.artifacts.local_files import fsync_tree


def flush_artifacts(location: str, *parts: str) -> None:
    """Flush all below a location of artifacts, or one of its files or folders; a server keeps its own."""
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
