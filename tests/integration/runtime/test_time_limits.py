"""Time limits: the soft one raises in the stage, the hard one kills its process; its policy judges both."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.compiler import canvas
from tests.harness.runner import Runner, nodes_of, states_of

pytestmark = pytest.mark.stack


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are sent from here give a stage two seconds to clean up."""
    monkeypatch.setattr(canvas, "GRACE", 2.0)


def errors_of(runner: Runner, how: str, marker: Path) -> list[str | None]:
    record = runner.run("slow_at_first", marker=str(marker), how=how)
    assert record.state == "succeeded", record.error
    assert set(states_of(record).values()) == {"succeeded"}
    return [attempt.error for attempt in nodes_of(record)["slow_once"].attempts]


def test_a_stage_that_sleeps_is_interrupted_and_tried_again(runner: Runner, tmp_path: Path) -> None:
    first, second = errors_of(runner, "Python", tmp_path / "slow")
    assert first == "StageTimeout: slow_once took longer than its time limit of 1 s"
    assert second is None


@pytest.mark.parametrize("how", ["deaf", "blocked", "C"])
def test_a_stage_that_cannot_be_interrupted_is_killed_and_tried_again(
    runner: Runner, tmp_path: Path, how: str
) -> None:
    first, second = errors_of(runner, how, tmp_path / "slow")
    assert first == (
        "StageTimeout: slow_once took longer than its time limit of 1 s, "
        "did not end by itself, and was killed"
    )
    assert second is None


def test_a_killed_stage_without_a_policy_fails_in_one_line(runner: Runner) -> None:
    record = runner.run("too_stubborn")
    assert record.error == (
        "stubborn: StageTimeout: stubborn took longer than its time limit of 1 s, "
        "did not end by itself, and was killed"
    )
    assert len(nodes_of(record)["stubborn"].attempts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Python", "deaf"])
def test_items_over_their_time_limit_are_tried_again_one_by_one(
    runner: Runner, tmp_path: Path, how: str
) -> None:
    record = runner.run("slow_items", marker=str(tmp_path / "slow"), how=how)
    assert record.state == "succeeded", record.error
    nodes = nodes_of(record)
    for index in range(3):
        first, second = nodes[f"slow_once[{index}]"].attempts
        assert f"slow_once[{index}] took longer than its time limit" in (first.error or "")
        assert second.error is None
    assert nodes["number"].value == 3


@pytest.mark.slow
def test_items_that_are_all_killed_do_not_keep_the_rest_of_a_map_waiting(runner: Runner) -> None:
    """More items than there are messages that call workers to them."""
    record = runner.run("stubborn_items", count=70, bad=64)
    nodes = nodes_of(record)
    assert record.state == "succeeded", record.error
    assert nodes["add"].value == sum(range(70)) - 64
