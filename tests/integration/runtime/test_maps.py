"""Workers help themselves to the items of a long map."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.lifecycle.resume import send_round
from orchestrator.messaging.unacked import waiting_nodes
from orchestrator.runs.values import ClaimStatus, Holder
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until
from workers.runtime.dispatch import send_unknown

pytestmark = pytest.mark.stack


def test_a_share_of_the_items_may_fail(runner: Runner) -> None:
    record = runner.run("tolerant", count=100)
    states = states_of(record)
    assert record.state == "succeeded"
    assert states["picky[3]"] == "failed"
    assert nodes_of(record)["add"].value == sum(value for value in range(100) if value % 3)


def test_a_share_of_the_items_of_a_short_map_may_fail(runner: Runner) -> None:
    record = runner.run("tolerant_in_short", values=[0, 1, 2, 4])
    assert record.state == "succeeded"
    assert states_of(record)["picky[0]"] == "failed"
    assert nodes_of(record)["add-3"].value == 7 + 7 + 1


def test_all_items_of_a_short_map_but_those_tolerated_have_to_succeed(runner: Runner) -> None:
    record = runner.run("tolerant_in_short", values=[0, 3, 6, 1])
    assert record.state == "failed"
    assert states_of(record)["picky[3]"] == "succeeded"
    assert states_of(record)["add-3"] == "upstream_failed"


def test_an_item_that_its_workers_die_of_may_be_tolerated(runner: Runner) -> None:
    record = runner.run("tolerates_deaths", values=[1, 2, 3])
    assert record.state == "succeeded"
    assert "DeadlyStage" in str(nodes_of(record)["dies_if[1]"].error)
    assert nodes_of(record)["add"].value == 4


def test_items_whose_stage_is_unknown_to_the_worker_that_is_called_to_them_fail(
    runner: Runner, client: redis.Redis
) -> None:
    run, name = runner.submit("picked_elsewhere", count=4), NodeName("picky")
    wait_until(lambda: (run, name) in waiting_nodes(client, ["spare"]), "the map waits for a worker")
    client.delete("spare")
    claim = runner.runs.claim(run, name, Holder(token="one", delivery="a#b", worker="w"))
    assert claim.status is ClaimStatus.CLAIMED
    runner.runs.expand(run, name, "one", items=4)
    send_unknown(run, name, "runtime_pipelines.picky", "data", round=0, batch=True)
    wait_until(lambda: runner.reader.state(run).over, "the run fails")
    record = runner.reader.read(run, runner.prepare("picked_elsewhere", count=4).graph)
    assert [node.state for node in record.nodes[1:]] == [*4 * ["failed"], "upstream_failed"]
    assert "no worker of its queue knows the stage" in str(nodes_of(record)["picky[3]"].error)


def test_a_resumed_run_pairs_no_items_with_what_others_gave(runner: Runner, tmp_path: Path) -> None:
    marker, path = tmp_path / "mended", tmp_path / "notes"
    record = runner.run("tolerant_and_mendable", marker=str(marker), path=str(path))
    assert record.state == "failed"
    marker.touch()
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the second round is concluded")
    again = runner.reader.read(record.id, runner.prepare("tolerant_and_mendable", marker="", path="").graph)
    nodes = nodes_of(again)
    assert [nodes[f"note_if[{index}]"].value for index in range(4)] == [0, 1, 2, 3]
    assert nodes["add"].value == 6


def test_a_map_that_was_done_is_neither_expanded_nor_told_of_again(runner: Runner, tmp_path: Path) -> None:
    marker = tmp_path / "mended"
    record = runner.run("mendable_behind_maps", marker=str(marker))
    assert nodes_of(record)["mended"].state == "failed"
    marker.touch()
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the second round is concluded")
    assert runner.reader.state(record.id) == "succeeded"
    told = Counter((event.node, event.state) for event in runner.reader.events(record.id))
    maps = [node.name for node in runner.prepare("mendable_behind_maps", marker="").graph if node.mapped]
    assert len(maps) == 2
    for name in maps:
        assert told[name, "expanded"] == told[name, "succeeded"] == 1


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
