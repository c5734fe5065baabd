"""What a failed run does: finish its other branches or stop at once, and tell those who want to know."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from orchestrator.archive.run_record import read_final
from orchestrator.lifecycle.resume import send_handlers, send_round
from orchestrator.runs.keys import RunKeys
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def test_what_is_to_run_after_a_failure_is_told_of_it(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("told", marker=str(tmp_path / "mended"))
    assert record.state == "failed"
    assert record.error == "fails_until: RuntimeError: not mended yet"
    told = nodes_of(record)["tell"].value
    assert isinstance(told, list)
    run, error, (failed) = told
    assert run == record.id
    assert error == record.error
    assert str(failed).startswith("fails_until: Traceback")
    assert 'raise RuntimeError("not mended yet")' in str(failed)


def test_a_failure_is_what_the_run_was_when_it_failed_whatever_other_handlers_do(runner: Runner) -> None:
    record = runner.run("told_twice")
    assert states_of(record) == {"fail": "failed", "tell_in_vain": "failed", "flaky_tell": "succeeded"}
    told = nodes_of(record)["flaky_tell"].value
    assert isinstance(told, list)
    assert len(told) == 3
    assert str(told[2]).startswith("fail: Traceback")


def test_an_error_while_a_failure_is_told_changes_nothing_of_it(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("told", marker=str(tmp_path / "mended"))
    assert states_of(record)["tell_in_vain"] == "failed"
    assert nodes_of(record)["tell_in_vain"].error == "RuntimeError: nobody listens"
    assert record.error == "fails_until: RuntimeError: not mended yet"


def test_nothing_is_told_of_a_run_that_succeeds(runner: Runner, tmp_path: Path) -> None:
    (marker := tmp_path / "mended").touch()
    record = runner.run("told", marker=str(marker))
    assert record.state == "succeeded"
    states = states_of(record)
    assert {states.pop("tell"), states.pop("tell_in_vain")} == {"skipped"}
    assert set(states.values()) == {"succeeded"}


def test_each_round_that_fails_is_told_of(runner: Runner, tmp_path: Path) -> None:
    marker = tmp_path / "mended"
    record = runner.run("told", marker=str(marker))
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the second round is concluded")
    again = runner.reader.read(record.id, runner.prepare("told", marker="").graph)
    assert len(nodes_of(again)["tell"].attempts) == 2
    marker.touch()
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the third round is concluded")
    assert runner.reader.state(record.id) == "succeeded", runner.reader.summary(record.id).error


def test_what_is_to_run_after_a_failure_can_be_sent_again(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("told", marker=str(tmp_path / "mended"))
    send_handlers(record.id, store=runner.store, runs=runner.runs)
    again = runner.run("told", marker=str(tmp_path / "mended"))  # behind them in the same queue
    assert again.state == "failed"
    nodes = nodes_of(runner.reader.read(record.id, runner.prepare("told", marker="").graph))
    assert len(nodes["tell"].attempts) == 1


def test_a_run_that_lost_a_message_is_sent_again_beside_maps_that_have_ended(
    runner: Runner, client: redis.Redis
) -> None:
    run = runner.submit("broken_map_beside_another_queue")
    graph = runner.prepare("broken_map_beside_another_queue").graph
    ended = {"fail_if[1]": "failed", "picky[0]": "failed", "picky[1]": "succeeded", "add": "succeeded"}
    wait_until(lambda: ended.items() <= runner.reader.raw_states(run).items(), "the maps have ended")
    client.delete("spare")
    assert send_round(
        run, store=runner.store, runs=runner.runs, ended_otherwise=runner.reader.ended_otherwise(run)
    )
    wait_until(lambda: client.llen("spare"), "what was lost is sent again")
    client.delete("spare")
    nodes = nodes_of(runner.reader.read(run, graph))
    assert ended.items() <= {name: node.state for name, node in nodes.items()}.items()
    assert not any(len(node.attempts) > 1 for node in nodes.values())
    runner.runs.cancel(run)


def test_a_run_that_fails_fast_stops_what_is_running(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("hasty", marker=str(tmp_path / "never"))
    assert record.state == "failed"
    assert record.error == "fail: RuntimeError: no good: 3"
    assert states_of(record) == {
        "linger[0]": "cancelled",
        "linger[1]": "cancelled",
        "number": "cancelled",
        "number-2": "succeeded",
        "fail": "failed",
        "number-3": "upstream_failed",
        "add": "upstream_failed",
        "tell": "succeeded",
    }
    assert record.started is not None
    assert record.ended is not None
    assert (record.ended - record.started).total_seconds() < 10  # the map would take a minute
    assert not runner.runs.client.exists(RunKeys(record.id).leases)


def test_a_run_that_failed_fast_is_kept_as_it_was(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("hasty", marker=str(tmp_path / "never"))
    final = read_final(runner.store, record.id)
    assert final is not None
    assert states_of(final[0]) == states_of(record)
