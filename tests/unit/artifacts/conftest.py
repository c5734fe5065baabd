"""Stores to test with: each kind that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.artifacts import ArtifactStore
from orchestrator.settings import settings


@pytest.fixture(params=["folder", "file URL", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A store of each kind: the conformance suite runs on all of them."""
    urls = {
        "folder": str(tmp_path / "a store"),
        "file URL": (tmp_path / "a store").as_uri(),
        "memory": "memory://",
    }
    return ArtifactStore(urls[request.param])


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A store in a folder."""
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the types of the setting that are trusted; none are at first."""

    def set_types(names: str) -> None:
        monkeypatch.setenv("ORCHESTRATOR_TRUSTED_TYPES", names)
        settings.cache_clear()

    set_types("")
    return set_types


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    yield
    settings.cache_clear()
