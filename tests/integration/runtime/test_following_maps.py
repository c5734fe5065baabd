"""A map that follows another one item by item: it does not wait for the other's last item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.lifecycle.resume import send_round
from orchestrator.run_id import RunId
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def calls(folder: Path) -> list[int]:
    """The values for which `double` was called, once for each call."""
    return sorted(int(file.name.split()[1]) for file in folder.glob("doubled *"))


def succeed(runner: Runner, run: RunId, *names: str) -> Callable[[], bool]:
    return lambda: all(runner.reader.raw_states(run).get(name) == "succeeded" for name in names)


def test_each_item_goes_on_without_the_others(runner: Runner, tmp_path: Path) -> None:
    run = runner.submit("follows", folder=str(tmp_path))
    (tmp_path / "1").touch()
    wait_until(succeed(runner, run, "double[1]", "sum_of[1]"), "what follows the item is done", 20)
    states = runner.reader.raw_states(run)
    assert states["await_file"] == states["double"] == states["sum_of"] == "running"
    assert "double[0]" not in states
    for other in ("0", "2"):
        (tmp_path / other).touch()
    wait_until(lambda: runner.reader.state(run).over, "the run ends")
    record = runner.reader.read(run, runner.prepare("follows", folder="").graph)
    assert record.state == "succeeded"
    assert nodes_of(record)["add"].value == 3 * (0 + 1 + 2)
    assert calls(tmp_path) == [0, 1, 2]


def test_of_what_follows_a_failed_item_only_the_same_item_cannot_run(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("follows_failing", folder=str(tmp_path))
    states = states_of(record)
    assert record.state == "failed"
    assert states["fail_until_mended[1]"] == "failed"
    assert states["double[1]"] == states["add"] == "upstream_failed"
    assert states["double[0]"] == states["double[2]"] == "succeeded"
    assert calls(tmp_path) == [0, 2]
    (tmp_path / "mended").touch()
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the resumed run ends")
    again = runner.reader.read(record.id, runner.prepare("follows_failing", folder="").graph)
    assert again.state == "succeeded"
    assert nodes_of(again)["add"].value == 2 * (0 + 1 + 2)
    assert calls(tmp_path) == [0, 1, 2], "what was done stays done"


def test_maps_of_different_lengths_are_told_apart(runner: Runner) -> None:
    record = runner.run("unlike", first=3, second=[1, 2])
    assert record.state == "failed"
    told = record.error or ""
    assert "left has 3" in told
    assert "right has 2" in told
    assert states_of(record)["number[2]"] == "succeeded"


def test_a_long_map_follows_a_long_one(runner: Runner, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    record = runner.run("follows", folder=str(tmp_path), count=300)
    assert record.state == "succeeded"
    assert nodes_of(record)["add"].value == 3 * sum(range(300))
    assert calls(tmp_path) == list(range(300))
    assert {len(node.attempts) for node in record.nodes} <= {0, 1}
