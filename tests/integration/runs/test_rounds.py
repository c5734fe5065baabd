"""Corners of runs that are carried on: what an earlier round sent or began counts for nothing."""

from __future__ import annotations

from orchestrator.authoring.graph import NodeName
from orchestrator.runs.states import RunState
from orchestrator.runs.values import ClaimStatus, DoneItem, DueNode, RunEnding

from .conftest import Desk


def test_a_resumed_map_hands_out_the_items_behind_those_that_are_done(desk: Desk) -> None:
    desk.submit(2)
    desk.runs.cancel(desk.run)
    desk.reopen(2, "m[0]", "m[1]")
    desk.expand("m", 3)
    assert list(desk.take("m", desk.holder("share")).items) == [2]


def test_what_came_too_early_is_sent_by_a_map_that_was_done_before(desk: Desk) -> None:
    desk.submit(3, needs="mz")
    desk.runs.cancel(desk.run)
    desk.reopen(3, "m[0]", needs="mz")
    assert desk.claim("z")[0].status is ClaimStatus.EARLY
    assert desk.expand("m", 1, "z").ready == (DueNode(NodeName("z"), alone=True),)
    assert desk.told("m")[-2:] == ["expanded", "succeeded"]


def test_items_of_an_earlier_round_are_not_recorded(desk: Desk) -> None:
    desk.submit(2)
    desk.expand("m", 3)
    share = desk.holder("share")
    desk.take("m", share)
    desk.runs.cancel(desk.run)
    desk.reopen(2)
    late = [DoneItem(index=0, began=0.2, ended=0.1)]
    assert desk.runs.commit_items(desk.run, NodeName("m"), share.token, late).ending is RunEnding.NONE
    assert desk.runs.return_items(desk.run, NodeName("m"), share.token, [0]) == 0
    assert "m" not in desk.reader.raw_states(desk.run)


def test_a_late_message_of_what_ran_after_a_failure_starts_nothing_in_the_next_round(desk: Desk) -> None:
    desk.submit(1, handlers="h")
    desk.fail("a", desk.begin("a"))
    desk.commit("h")
    desk.reopen(1, handlers="h")
    assert desk.claim("h", round=0)[0].status is ClaimStatus.OUTDATED
    assert desk.claim("h")[0].status is ClaimStatus.OVER
    assert desk.commit("a").ending is RunEnding.OVER


def test_a_failed_map_that_is_kept_starts_no_items_in_the_next_round(desk: Desk) -> None:
    desk.submit(2, m=2)
    desk.fail("m[0]", desk.begin("m[0]"), group="m")
    desk.reopen(1, kept=("m", "m[0]"))
    assert desk.claim("m[1]")[0].status is ClaimStatus.OVER
    assert desk.commit("a").ending is RunEnding.OVER
    assert desk.reader.state(desk.run) is RunState.FAILED


def test_the_end_of_a_run_that_was_carried_on_meanwhile_is_not_its_end(desk: Desk) -> None:
    desk.submit(3)
    assert desk.reader.end(desk.run) is None
    desk.runs.cancel(desk.run)
    ended = desk.reader.end(desk.run)
    assert ended is not None
    desk.reopen(3)
    assert not desk.runs.conclude(desk.run, ended, mlflow_run_id="a1", retention=60)
    assert not desk.reader.concluded(desk.run)
    assert desk.client.ttl(desk.keys.meta) == -1


def test_a_message_of_an_earlier_round_starts_nothing_and_passes_nothing_on(desk: Desk) -> None:
    desk.submit(3)
    desk.runs.cancel(desk.run)
    desk.reopen(2, "a")
    assert desk.claim("a", round=0)[0].status is ClaimStatus.OUTDATED
    assert desk.claim("b", round=0)[0].status is ClaimStatus.OUTDATED
    assert desk.leases() == []
    assert desk.claim("b")[0].status is ClaimStatus.CLAIMED


def test_a_share_of_an_earlier_round_takes_no_items(desk: Desk) -> None:
    desk.submit(2)
    desk.expand("m", 3)
    late = desk.holder("share")
    desk.runs.cancel(desk.run)
    desk.reopen(2)
    desk.expand("m", 3)
    assert not desk.take("m", late).items
    assert desk.take("m", desk.holder("share")).items


def test_what_came_too_early_in_an_earlier_round_is_sent_by_the_canvas_of_the_next(desk: Desk) -> None:
    desk.submit(3, needs="az,bz")
    desk.claim("z")
    desk.runs.cancel(desk.run)
    desk.reopen(3, needs="az,bz")
    desk.commit("a", needed_by="z")
    assert desk.commit("b", needed_by="z").ready == (DueNode(NodeName("z")),)


def test_an_attempt_of_an_earlier_round_neither_commits_nor_is_due_again(desk: Desk) -> None:
    desk.submit(2)
    running, retried = desk.begin("a"), desk.begin("b")
    desk.runs.retry(desk.run, NodeName("b"), retried, error="OSError", traceback="…", wait=1.0)
    desk.reopen(2)
    assert not desk.runs.commit(desk.run, NodeName("a"), running).accepted
    assert desk.claim("b", round=0)[0].status is ClaimStatus.OUTDATED
    assert desk.claim("a")[0].status is ClaimStatus.CLAIMED
    assert desk.claim("b")[0].status is ClaimStatus.CLAIMED


def test_a_message_of_a_round_that_redis_has_forgotten_counts(desk: Desk) -> None:
    desk.submit(1)
    assert desk.claim("a", round=1)[0].status is ClaimStatus.CLAIMED


def test_rounds_that_begin_in_the_wrong_order_both_count(desk: Desk) -> None:
    desk.submit(1)
    desk.round = 1
    desk.reopen(1)
    desk.round = 0
    desk.reopen(1)
    assert desk.claim("a", round=2)[0].status is ClaimStatus.CLAIMED
    assert desk.claim("a", round=1, worker="ben")[0].status is ClaimStatus.HELD
