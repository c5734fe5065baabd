"""Stores to test with: each kind that needs no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.artifacts import ArtifactStore


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
