"""Transitions that are asked for twice, because the first reply was lost together with the connection."""

from __future__ import annotations

from secrets import token_hex

import pytest
import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import ClaimStatus, DoneItem, Holder, Reopening, RunEnding

pytestmark = pytest.mark.stack

ONE, TWO = NodeName("one"), NodeName("two")


@pytest.fixture
def runs(client: redis.Redis) -> RunStore:
    return RunStore(client)


@pytest.fixture
def run(runs: RunStore) -> RunId:
    """A run of two nodes, none of which was sent."""
    name = RunId(f"pair-{token_hex(4)}")
    runs.submit(name, pipeline="pair", parameters={}, needs={ONE: 0, TWO: 0}, maps={}, submitted=0.0)
    return name


def holder() -> Holder:
    return Holder(token=token_hex(8), delivery=f"worker/1#{token_hex(4)}", worker="worker")


def claim(runs: RunStore, run: RunId, node: NodeName) -> Holder:
    mine = holder()
    assert runs.claim(run, node, mine).status is ClaimStatus.CLAIMED
    return mine


def test_a_claim_that_is_repeated_is_one_attempt(runs: RunStore, run: RunId) -> None:
    mine = claim(runs, run, ONE)
    again = runs.claim(run, ONE, mine)
    assert again.status is ClaimStatus.CLAIMED
    assert again.counts.number == 1
    assert runs.claim(run, ONE, holder()).status is ClaimStatus.HELD


def test_a_commit_that_is_repeated_counts_once_and_has_the_same_reply(runs: RunStore, run: RunId) -> None:
    first, second = claim(runs, run, ONE), claim(runs, run, TWO)
    for _ in range(2):
        assert runs.commit(run, ONE, first.token, value="").accepted
    assert RunReader(runs.client).state(run) == "running"
    replies = [runs.commit(run, TWO, second.token, value="") for _ in range(2)]
    assert [reply.ending for reply in replies] == [RunEnding.OVER, RunEnding.OVER]


def test_a_failure_that_is_repeated_has_the_same_reply(runs: RunStore, run: RunId) -> None:
    mine = claim(runs, run, ONE)
    replies = [runs.fail(run, ONE, mine.token, error="E", traceback="", descendants=[TWO]) for _ in range(2)]
    assert all(reply.accepted for reply in replies)
    assert [reply.ending for reply in replies] == [RunEnding.OVER, RunEnding.OVER]


def test_a_retry_and_an_expansion_may_be_repeated(runs: RunStore, run: RunId) -> None:
    mine, other = claim(runs, run, ONE), claim(runs, run, TWO)
    for _ in range(2):
        assert runs.retry(run, ONE, mine.token, error="E", traceback="", wait=1.0).accepted
        assert runs.expand(run, TWO, other.token, items=3).accepted
    assert runs.items(run, TWO) == 3


def test_a_commit_of_another_attempt_is_still_refused(runs: RunStore, run: RunId) -> None:
    mine = claim(runs, run, ONE)
    runs.mark_lost(run, mine.delivery, error="its worker was lost")
    assert not runs.commit(run, ONE, mine.token, value="").accepted


def test_a_lease_that_is_over_holds_until_the_supervisor_ends_it(client: redis.Redis, run: RunId) -> None:
    hasty = RunStore(client, lease_seconds=0.001)
    mine = claim(hasty, run, ONE)
    assert hasty.claim(run, ONE, holder()).status is ClaimStatus.HELD
    hasty.mark_lost(run, mine.delivery, error="its worker was lost")
    assert hasty.claim(run, ONE, holder()).status is ClaimStatus.CLAIMED


def test_an_ended_run_is_known_until_it_is_written_down(runs: RunStore, run: RunId) -> None:
    reader = RunReader(runs.client)
    runs.cancel(run)
    assert run not in reader.open_runs()
    assert run in reader.unconcluded_runs()
    assert (ended := reader.end(run))
    assert runs.conclude(run, ended, mlflow_run_id=None, retention=60)
    assert run not in reader.unconcluded_runs()


def test_a_failure_that_stops_a_run_names_again_who_is_at_work(runs: RunStore, run: RunId) -> None:
    hasty = RunId(f"{run}-hasty")
    runs.submit(
        hasty, pipeline="pair", parameters={}, needs={ONE: 0, TWO: 0}, maps={}, submitted=0.0, fail_fast=True
    )
    mine, other = claim(runs, hasty, ONE), claim(runs, hasty, TWO)
    replies = [runs.fail(hasty, ONE, mine.token, error="E", traceback="") for _ in range(2)]
    assert [reply.stopped for reply in replies] == [(other.delivery,)] * 2


def test_a_cancel_that_is_repeated_names_again_who_is_at_work(runs: RunStore, run: RunId) -> None:
    mine, token = claim(runs, run, ONE), token_hex(8)
    assert [runs.cancel(run, token=token) for _ in range(2)] == [(mine.delivery,)] * 2
    assert runs.cancel(run) == (mine.delivery,)


def test_a_cancel_that_is_repeated_after_the_run_was_reopened_leaves_it_alone(
    runs: RunStore, run: RunId
) -> None:
    token = token_hex(8)
    runs.cancel(run, token=token)
    expected = runs.status(run)
    again = Reopening(
        pipeline="pair",
        parameters={},
        submitted=0.0,
        number=1,
        expected=expected,
        open=2,
        done={},
        maps={},
        needs={},
    )
    runs.reopen(run, again)
    runs.cancel(run, token=token)
    assert RunReader(runs.client).state(run) == "running"


def test_items_that_are_taken_twice_are_one_attempt_until_they_are_settled(
    runs: RunStore, run: RunId
) -> None:
    share = holder()
    runs.expand(run, ONE, claim(runs, run, ONE).token, items=40)
    taken, other = runs.take(run, ONE, share, wanted=3), runs.take(run, ONE, holder(), wanted=3)
    assert list(taken.items) == [0, 1, 2]
    assert list(other.items) == [3, 4, 5]
    assert runs.take(run, ONE, share, wanted=3) == taken
    done = [DoneItem(index=index, began=0.2, ended=0.1) for index in taken.items]
    runs.commit_items(run, ONE, share.token, done)
    assert list(runs.take(run, ONE, share, wanted=3).items) == [6, 7, 8]


def test_items_that_were_lost_meanwhile_are_not_taken_twice(runs: RunStore, run: RunId) -> None:
    share = holder()
    runs.expand(run, ONE, claim(runs, run, ONE).token, items=40)
    runs.take(run, ONE, share, wanted=3)
    runs.mark_lost(run, share.delivery, error="its worker was lost")
    assert [item.number for item in runs.take(run, ONE, share, wanted=3).items.values()] == [2]
