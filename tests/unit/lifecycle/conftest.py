"""Stores of each kind with runs that were written down, without anything that runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.artifacts import ArtifactStore
from tests.harness.object_store import BUCKET, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[Mapping[str, str]]:
    """What a process needs to know of an object store."""
    with s3_server() as variables:
        yield variables


@pytest.fixture(params=["folder", "memory", "S3"])
def any_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ArtifactStore:
    """A store of each kind."""
    match request.param:
        case "folder":
            return ArtifactStore(str(tmp_path / "store"))
        case "memory":
            return ArtifactStore("memory://")
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return ArtifactStore(f"s3://{BUCKET}/{uuid4().hex}")
