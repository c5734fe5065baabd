"""Real services for the tests: a Redis behind a socket, and a home for artifacts and MLflow's files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.runs.connection import connect
from orchestrator.settings import settings
from tests.harness.redis_server import private_redis


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A private Redis for the whole session."""
    with private_redis() as url:
        yield url


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's artifacts and MLflow files go."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A connection to the session's Redis."""
    connection = connect(redis_url)
    yield connection
    connection.close()


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Has this process import the modules of a folder, too."""

    def importable(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        sys.path_importer_cache.pop(str(folder), None)

    return importable


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], None]]:
    """Sets this process's environment, and makes the settings follow."""

    def surround(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield surround
    settings.cache_clear()
