"""How far a running stage has come is known while it runs, and nothing of it stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.authoring.progress import Progress
from orchestrator.run_id import RunId
from orchestrator.runs.record import NodeRecord
from tests.harness.runner import Runner, nodes_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def test_a_running_attempt_tells_how_far_it_has_come(runner: Runner, tmp_path: Path) -> None:
    prepared = runner.prepare("looping", folder=str(tmp_path))
    run = runner.submit("looping", folder=str(tmp_path))

    def node() -> NodeRecord:
        return nodes_of(runner.reader.read(run, prepared.graph))["loop"]

    def has(attempt: int, done: int) -> bool:
        found = node()
        return len(found.attempts) == attempt and _plain(found.progress) == (done, 4, "over files")

    wait_until(lambda: has(1, 0), "the first attempt has begun")
    (tmp_path / "1-0").touch()
    wait_until(lambda: has(1, 1), "the first item is done")
    assert node().to_json()["progress"] == {"done": 1, "total": 4, "description": "over files"}
    (tmp_path / "1-1").touch()
    wait_until(lambda: has(2, 0), "the second attempt starts at 0 again")
    for item in range(4):
        (tmp_path / f"2-{item}").touch()
    wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    assert node().to_json()["progress"] is None
    assert not _kept(runner, run)


def test_what_a_killed_attempt_has_told_is_not_the_next_ones(runner: Runner, tmp_path: Path) -> None:
    prepared = runner.prepare("looping", folder=str(tmp_path))
    run = runner.submit("looping", folder=str(tmp_path))

    def progress() -> Progress | None:
        return nodes_of(runner.reader.read(run, prepared.graph))["loop"].progress

    wait_until(progress, "it is told")
    (key,) = _kept(runner, run)
    left = json.loads(str(runner.reader.client.hget(key, "loop")))
    runner.reader.client.hset(key, "loop", json.dumps({**left, "attempt": left["attempt"] + 1}))
    assert progress() is None
    runner.runs.cancel(run)
    assert not _kept(runner, run)


def _plain(progress: Progress | None) -> tuple[int, int | None, str] | None:
    return None if progress is None else (progress.done, progress.total, progress.description)


def _kept(runner: Runner, run: RunId) -> list[str]:
    return [str(key) for key in runner.reader.client.keys(f"orc:{{{run}}}:progress")]
