"""Pipelines run on real workers, over real chains and chords."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from orchestrator import pipeline, stage
from orchestrator.archive.logs import read_log
from orchestrator.archive.manifest import Manifest
from orchestrator.archive.run_record import read_final
from orchestrator.lifecycle.resume import send_round
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.messaging.app import app
from orchestrator.run_id import RunId, new_run_id
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.listing import remove_from_unfinished
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def test_a_chain_runs_in_order(runner: Runner) -> None:
    record = runner.run("line", length=5)
    assert record.state == "succeeded"
    ends = [node.ended for node in record.nodes if node.ended]
    assert len(ends) == 5
    assert ends == sorted(ends)


def test_a_chain_longer_than_one_message_runs_to_its_end(runner: Runner) -> None:
    record = runner.run("line", length=100)
    assert set(states_of(record).values()) == {"succeeded"}


def test_a_submission_that_redis_refuses_leaves_nothing(runner: Runner) -> None:
    away = RunStore(redis.Redis(port=1))
    ids = iter([RunId("refused-20261124-031502-0000")])
    with pytest.raises(redis.ConnectionError):
        submit(runner.prepare("diamond"), store=runner.store, runs=away, ids=lambda _: next(ids))
    assert not list(runner.store.keys("runs/refused-20261124-031502-0000"))


def test_an_id_that_only_redis_knows_is_not_taken_again(runner: Runner) -> None:
    """As after somebody has removed an earlier run's folder."""
    taken, free = RunId("taken-20261124-031502-0000"), new_run_id("diamond")
    runner.runs.submit(taken, pipeline="diamond", parameters={}, needs={}, maps={}, submitted=0.0)
    ids = iter([taken, free])
    prepared = runner.prepare("diamond")
    assert submit(prepared, store=runner.store, runs=runner.runs, ids=lambda _: next(ids)) == free
    assert not list(runner.store.keys(f"runs/{taken}"))
    wait_until(lambda: runner.reader.concluded(free), "the run is written down")
    runner.runs.client.delete(*RunKeys(taken).all())
    remove_from_unfinished(runner.runs.client, taken)


def test_a_chord_collects_its_branches(runner: Runner) -> None:
    assert nodes_of(runner.run("diamond"))["add"].value == 6


def test_a_map_of_known_length_runs_item_by_item(runner: Runner) -> None:
    nodes = nodes_of(runner.run("known_map"))
    assert list(nodes) == ["add", "number[0]", "number[1]", "number[2]"] or list(nodes) == [
        "number[0]",
        "number[1]",
        "number[2]",
        "add",
    ]
    assert nodes["add"].value == 6


def test_a_maps_length_may_be_known_only_at_run_time(runner: Runner) -> None:
    nodes = nodes_of(runner.run("run_time_map", count=4))
    assert nodes["number-2"].value == 6
    assert nodes["number[3]"].value == 3


def test_a_map_longer_than_the_canvas_writes_out(runner: Runner) -> None:
    record = runner.run("run_time_map", count=150)
    assert nodes_of(record)["number-2"].value == sum(range(150))


def test_maps_go_through_maps(runner: Runner) -> None:
    assert nodes_of(runner.run("maps_of_maps"))["add-3"].value == 6


def test_a_map_may_stand_at_the_end(runner: Runner) -> None:
    assert set(states_of(runner.run("last_map")).values()) == {"succeeded"}


def test_branches_without_a_join_run_side_by_side(runner: Runner) -> None:
    assert runner.run("side_by_side").state == "succeeded"


def test_a_map_over_an_empty_list_gives_an_empty_list(runner: Runner) -> None:
    record = runner.run("empty_maps", values=[], after=5)
    assert record.state == "succeeded", record.error
    assert set(states_of(record).values()) == {"succeeded"}
    nodes = nodes_of(record)
    assert nodes["add-3"].value == 5
    assert nodes["number"].value == []
    assert sum(len(node.attempts) for node in record.nodes) == 6


def test_a_map_has_as_many_items_as_its_author_asks_for_or_fails_with_a_clear_line(runner: Runner) -> None:
    assert nodes_of(runner.run("asks_for_items", count=2))["add"].value == 1
    record = runner.run("asks_for_items", count=1)
    assert record.error == "number: EmptyMap: number.map(…, at_least=2) got 1 item"


def test_a_condition_that_holds_lets_its_node_run(runner: Runner) -> None:
    assert set(states_of(runner.run("gate", limit=3)).values()) == {"succeeded"}


def test_a_condition_that_does_not_hold_skips_the_node_and_what_needs_it(runner: Runner) -> None:
    record = runner.run("gate", limit=7)
    assert record.state == "succeeded"
    assert [name for name, state in states_of(record).items() if state == "skipped"] == [
        "number-3",
        "number-4",
    ]


@pytest.mark.parametrize(("limit", "state"), [(3, "skipped"), (7, "succeeded")])
def test_a_condition_can_be_negated(runner: Runner, limit: int, state: str) -> None:
    record = runner.run("negated_gate", limit=limit)
    assert states_of(record)["number"] == state
    assert nodes_of(record)["truth"].value is (state == "succeeded")


def test_a_condition_skips_a_whole_map(runner: Runner) -> None:
    states = states_of(runner.run("skipped_map"))
    assert states == {"above": "succeeded", "number": "skipped", "add": "skipped"}


def test_a_failure_ends_what_needs_it_and_nothing_else(runner: Runner) -> None:
    record = runner.run("broken")
    states = states_of(record)
    assert record.state == "failed"
    assert record.error == "fail: RuntimeError: no good: 1"
    assert states["fail"] == "failed"
    assert {name for name, state in states.items() if state == "upstream_failed"} == {"add", "number-3"}
    assert states["number-5"] == "succeeded"


def test_the_other_items_of_a_map_finish_when_one_fails(runner: Runner) -> None:
    states = states_of(runner.run("broken_map"))
    assert states["fail_if[1]"] == "failed"
    assert states["add"] == "upstream_failed"
    assert [states[f"fail_if[{index}]"] for index in (0, 2, 3)] == ["succeeded"] * 3


def test_a_failure_before_a_written_out_map_ends_all_its_items(runner: Runner) -> None:
    record = runner.run("broken_before_a_map")
    states = states_of(record)
    assert record.state == "failed"
    assert states.pop("fail") == "failed"
    assert set(states.values()) == {"upstream_failed"}
    assert set(states) == {"number[0]", "number[1]", "number[2]", "add"}


def test_a_stage_is_tried_again_after_the_errors_its_policy_names(runner: Runner) -> None:
    record = runner.run("retried", failures=2)
    attempts = nodes_of(record)["flaky"].attempts
    assert [attempt.error for attempt in attempts] == ["OSError: not yet", "OSError: not yet", None]
    waits = [
        (later.started - earlier.ended).total_seconds()
        for earlier, later in pairwise(attempts)
        if earlier.ended
    ]
    assert waits[0] >= 0.05
    assert waits[1] >= 0.1


def test_a_stage_fails_when_its_tries_are_used_up(runner: Runner) -> None:
    record = runner.run("retried", failures=9)
    assert record.state == "failed"
    assert len(nodes_of(record)["flaky"].attempts) == 4


def test_an_error_that_the_policy_does_not_name_is_final(runner: Runner) -> None:
    record = runner.run("retried", failures=1, kind="ValueError")
    assert len(nodes_of(record)["flaky"].attempts) == 1


def test_bad_input_is_never_tried_again(runner: Runner) -> None:
    record = runner.run("bad_input")
    assert record.state == "failed"
    assert len(nodes_of(record)["wrong_settings"].attempts) == 1


def test_a_stage_that_returns_something_else_than_it_says_fails(runner: Runner) -> None:
    record = runner.run("liar")
    assert "WrongValue" in (record.error or "")
    assert "list[Score]" in (record.error or "") or "Score" in (record.error or "")


def test_a_stage_over_its_time_limit_fails(runner: Runner) -> None:
    record = runner.run("too_slow")
    assert record.error == "slow: StageTimeout: slow took longer than its time limit of 1 s"


@pytest.mark.slow
def test_a_stage_that_ignores_its_time_limit_is_killed(runner: Runner) -> None:
    record = runner.run("too_stubborn")
    assert "stubborn took longer than its time limit" in (record.error or "")


def test_a_lost_process_is_another_attempt(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("mortal", marker=str(tmp_path / "died"))
    node = nodes_of(record)["dies_once"]
    assert record.state == "succeeded"
    assert node.value == "alive at attempt 2"
    assert "process was lost" in (node.attempts[0].error or "")


def test_what_a_stage_prints_and_logs_is_kept(runner: Runner) -> None:
    record = runner.run("talkative")
    lines = {line.source: line.text for line in read_log(runner.store, record.id, "talk", 1) or ()}
    assert lines == {"stdout": "a printed line", "info my.module": "a logged line"}


def test_an_errors_traceback_is_kept(runner: Runner) -> None:
    record = runner.run("broken")
    assert 'raise RuntimeError(f"no good: {value}")' in (runner.reader.traceback(record.id, "fail", 1) or "")
    final = read_final(runner.store, record.id)
    assert final is not None
    assert final[0].state == "failed"
    assert "no good" in final[1]["fail#1"]


def test_a_done_node_has_a_manifest(runner: Runner) -> None:
    record = runner.run("diamond")
    manifest = Manifest.read(runner.store, record.id, "add")
    assert manifest is not None
    assert manifest.attempt == 1


def test_a_message_delivered_twice_runs_its_node_once(runner: Runner, client: redis.Redis) -> None:
    record = runner.run("diamond")
    kwargs = {"run": record.id, "node": "number-2"}
    again = app.send_task("runtime_pipelines.number", kwargs=kwargs, queue="data", ignore_result=False)
    wait_until(again.ready, "the second copy is done")
    assert again.result == "committed"
    assert all(
        len(node.attempts) == 1
        for node in runner.reader.read(record.id, runner.prepare("diamond").graph).nodes
    )


def test_a_stage_that_no_worker_knows_fails_its_node(runner: Runner) -> None:
    @stage
    def only_here() -> int:
        return 1

    @pipeline
    def elsewhere() -> None:
        only_here()

    prepared = prepare(elsewhere, {}, queues=settings().queues)
    run = submit(prepared, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.state(run).over, "the run fails")
    error = runner.reader.summary(run).error or ""
    assert "no worker of its queue knows the stage" in error
    assert "only_here" in error
    wait_until(lambda: runner.reader.concluded(run), "the failed run is concluded")
    send_round(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.state(run).over, "the resumed run fails as well")


def test_no_message_and_no_result_is_anything_but_json(runner: Runner) -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.result_accept_content == ["json"]
    json.dumps(runner.prepare("diamond").graph.to_json())
