"""The stack of docker-compose.yml, built and started once for all tests; skipped where no engine is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.waiting import holds

from .stack import Stack

TRAINING = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "compose" in item.path.parts:
            item.add_marker(pytest.mark.compose)
            if not any(item.iter_markers("timeout")):
                item.add_marker(pytest.mark.timeout(400, func_only=True))  # the stack is built in a fixture


def why_no_engine() -> str | None:
    try:
        done = subprocess.run(["docker", "compose", "ls"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else None


@pytest.fixture(scope="session")
def engine() -> None:
    """Docker with Compose answers, or the test is skipped."""
    if reason := why_no_engine():
        pytest.skip(f"no Docker Compose answers here: {reason}")


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Built from the working tree, and up with three training workers."""
    stack = Stack(tmp_path_factory.mktemp("compose"), "orchestrator-tested")
    stack.prepare()
    stack.down()  # of a session that was killed
    try:
        stack.compose("build", "--quiet", seconds=1500)
        stack.up(training=TRAINING)
        yield stack
    finally:
        (stack.folder / "logs.txt").write_text(stack.compose("logs", "--no-color", check=False))
        stack.down()


@pytest.fixture
def restored(stack: Stack) -> Iterator[None]:
    """After the test, three training workers are up and healthy again."""
    yield
    if any(
        not stack.inspect(each)["State"]["Running"] for each in stack.machines("training-worker", all=True)
    ):
        stack.compose("rm", "--force", "training-worker")
    stack.up(training=TRAINING)
    assert holds(lambda: all(map(stack.is_healthy, stack.machines("training-worker"))), 60)
