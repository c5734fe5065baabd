"""Workers help themselves to the items of a long map."""

from __future__ import annotations

import pytest

from .conftest import Runner, nodes_of, states_of

pytestmark = pytest.mark.stack


def test_a_share_of_the_items_may_fail(runner: Runner) -> None:
    record = runner.run("tolerant", count=100)
    states = states_of(record)
    assert record.state == "succeeded"
    assert states["picky[3]"] == "failed"
    assert nodes_of(record)["add"].value == sum(value for value in range(100) if value % 3)


def test_more_failures_than_are_tolerated_fail_the_map(runner: Runner) -> None:
    record = runner.run("tolerant", count=1)
    assert record.state == "failed"
    assert states_of(record)["add"] == "upstream_failed"


def test_a_slow_item_does_not_hold_up_those_taken_with_it(runner: Runner) -> None:
    record = runner.run("uneven")
    nodes = nodes_of(record)
    assert nodes["add"].value == sum(range(200))
    slow = nodes["slow_one[5]"]
    assert slow.started is not None
    others = [node.ended for node in record.nodes if node.name.startswith("slow_one") and node is not slow]
    late = [ended for ended in others if ended and (ended - slow.started).total_seconds() > 1.9]
    assert not late


def test_each_item_has_its_own_times_and_attempts(runner: Runner) -> None:
    record = runner.run("run_time_map", count=100)
    items = [node for node in record.nodes if node.name.startswith("number[")]
    assert len(items) == 100
    assert all(len(item.attempts) == 1 for item in items)
    assert all(item.started and item.ended and item.started <= item.ended for item in items)


def test_items_with_a_time_limit_run_one_to_a_message(runner: Runner) -> None:
    record = runner.run("limited_map")
    assert nodes_of(record)["add"].value == sum(range(6))
