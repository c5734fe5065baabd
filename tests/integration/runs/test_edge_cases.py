"""Corners of the run store in which a run once stopped, or left something behind."""

from __future__ import annotations

import pytest

from orchestrator.authoring.graph import NodeName
from orchestrator.authoring.progress import Progress
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.states import NodeState, RunState
from orchestrator.runs.values import (
    AttemptCounts,
    AttemptProgress,
    ClaimStatus,
    Continuation,
    DoneItem,
    DueNode,
    RunEnding,
)

from .conftest import Desk, names
from .shapes import CHAIN, CROSSED, failing


def test_a_repeated_message_is_told_of_what_was_lost_far_behind(desk: Desk) -> None:
    """Its first delivery had continued there, and died before it sent all. Another attempt is not told."""
    desk.submit(0, needs="ab,bc,bd,be")
    for name in "ab":
        desk.commit(name, needed_by="b" if name == "a" else "cde")
    desk.begin("c")
    desk.runs.mark_lost(desk.run, "ann#c", error="its process was killed")
    desk.runs.retry(desk.run, NodeName("d"), desk.begin("d"), error="no", traceback="", wait=60.0)
    behind = names(*"cde")
    claim = desk.runs.claim(desk.run, NodeName("a"), desk.holder("a"), needed_by=names("b"), behind=behind)
    assert claim.ready == (DueNode(NodeName("c")), DueNode(NodeName("e")))


def call(desk: Desk, number: int, token: str, *, redelivered: bool = False) -> int:
    return desk.runs.call_batch(desk.run, NodeName("m"), number, token, redelivered=redelivered)


def test_one_message_of_a_map_waits_for_the_next_worker(desk: Desk) -> None:
    desk.submit(1)
    desk.expand("m", 100)
    assert call(desk, 0, "a") == 1
    assert call(desk, 0, "a") == 1, "the first reply was lost"
    assert call(desk, 1, "b") == 2
    assert call(desk, 1, "c") == 0, "the message came twice"
    assert call(desk, 1, "d", redelivered=True) == 2, "its first delivery died before it sent the next"
    assert call(desk, 2, "e") == 3
    assert call(desk, 0, "f") == 4, "it begins anew"
    assert call(desk, 3, "g") == 0, "the row that went on has been replaced"
    assert call(desk, 9, "h") == 10, "Redis has forgotten some"


def test_nobody_is_called_to_a_map_without_items_left(desk: Desk) -> None:
    desk.submit(1)
    assert call(desk, 0, "early") == 0
    desk.expand("m", 1)
    share = desk.holder("share")
    desk.take("m", share)
    assert call(desk, 0, "a") == 0
    assert desk.runs.return_items(desk.run, NodeName("m"), share.token, [0]) == 1
    assert call(desk, 1, "b") == 2
    desk.runs.cancel(desk.run)
    assert call(desk, 2, "c") == 0


def test_a_commit_claims_the_first_node_that_is_due(desk: Desk) -> None:
    desk.submit(0, needs="ab,ac,zc,ad")
    token, holder = desk.begin("a"), desk.holder("a")
    then = Continuation(nodes=names(*"cbd"), holder=holder)
    settled = [
        desk.runs.commit(desk.run, NodeName("a"), token, needed_by=names(*"bcd"), then=then) for _ in range(2)
    ]
    assert settled[0] == settled[1]
    assert settled[0].claimed == (NodeName("b"), AttemptCounts(1))
    assert settled[0].ready == (DueNode(NodeName("d")),)
    assert desk.runs.commit(desk.run, NodeName("b"), holder.token).accepted
    assert desk.runs.renew(desk.run, holder.delivery)


def test_a_commit_claims_nothing_once_the_run_is_over(desk: Desk) -> None:
    desk.submit(0, needs="ab")
    token = desk.begin("a")
    desk.runs.cancel(desk.run)
    then = Continuation(nodes=names("b"), holder=desk.holder("a"))
    settled = desk.runs.commit(desk.run, NodeName("a"), token, needed_by=names("b"), then=then)
    assert (settled.accepted, settled.claimed) == (False, None)


def test_a_join_is_sent_alone_once_a_branch_has_left_its_chord(desk: Desk) -> None:
    desk.submit(0, needs="ab,cj,bj")
    then = Continuation(nodes=names("b"), holder=desk.holder("a"), join=NodeName("j"))
    settled = desk.runs.commit(desk.run, NodeName("a"), desk.begin("a"), needed_by=names("b"), then=then)
    assert settled.claimed is not None
    desk.runs.commit(desk.run, NodeName("b"), then.holder.token, needed_by=names("j"))
    assert desk.commit("c", needed_by="j").ready == (DueNode(NodeName("j"), alone=True),)


def test_a_written_out_map_rests_with_its_items(desk: Desk) -> None:
    desk.submit(3, m=3)
    settled = desk.fail("a", desk.begin("a"), descendants="mz")
    assert settled.ending is RunEnding.OVER
    assert desk.reader.state(desk.run) is RunState.FAILED
    assert {desk.state(name) for name in ("m", "m[0]", "m[1]", "m[2]", "z")} == {NodeState.UPSTREAM_FAILED}


@pytest.mark.parametrize(("ends_in", "until_in", "ended"), [(60, 60, 0), (-1, -1, 0), (-1, 60, 1)])
def test_the_supervisor_ends_only_leases_that_are_over_and_only_while_it_knows(
    desk: Desk, ends_in: float, until_in: float, ended: int
) -> None:
    """It may be paused between two steps: meanwhile a worker renews its lease, or another one leads."""
    desk.submit(2)
    holder = desk.holder("a")
    desk.runs.claim(desk.run, NodeName("a"), holder)
    now = desk.client.time()[0]
    desk.client.zadd(desk.keys.leases, {holder.delivery: (now + ends_in) * 1000})
    found = desk.runs.mark_lost(desk.run, holder.delivery, error="its worker was lost", until=now + until_in)
    assert found == ended
    assert desk.state("a") is (NodeState.QUEUED if ended else NodeState.RUNNING)
    assert bool(desk.leases()) is not bool(ended)


def test_a_supervisor_that_is_late_leaves_no_key_of_a_run_that_is_gone(desk: Desk) -> None:
    until = desk.client.time()[0] + 60
    assert desk.runs.mark_lost(desk.run, "ann#a", error="its worker was lost", until=until) == 0
    assert not list(desk.client.scan_iter(match=f"*{desk.run}*"))


def test_a_worker_ends_its_own_attempt_at_once(desk: Desk) -> None:
    desk.submit(2)
    holder = desk.holder("a")
    desk.runs.claim(desk.run, NodeName("a"), holder)
    assert desk.runs.mark_lost(desk.run, holder.delivery, error="its process was killed") == 1


def test_what_is_remembered_of_a_run_ends_with_it(desk: Desk) -> None:
    """An attempt may be at work for longer than its run, and make something that it has the id of kept."""
    stray = Desk(desk.client)
    stray.runs.set_conclusion_error(stray.run, "nobody knows it")
    desk.submit(1)
    assert desk.runs.remember(desk.run, "mlflow", "one") == "one"
    assert desk.client.ttl(desk.keys.memory) == -1
    desk.client.delete(desk.keys.memory)
    desk.runs.cancel(desk.run)
    desk.runs.conclude(desk.run, str(desk.reader.end(desk.run)), mlflow_run_id=None, retention=60)
    assert desk.runs.remember(desk.run, "mlflow", "two") == "two"
    assert desk.runs.remember(desk.run, "mlflow", "three") == "two"
    desk.runs.set_conclusion_error(desk.run, "MLflow is away")
    assert 0 < desk.client.ttl(desk.keys.memory) <= 60
    assert 0 < stray.client.ttl(stray.keys.memory) <= 86400


def test_nobody_helps_himself_to_a_map_that_the_canvas_writes_out(desk: Desk) -> None:
    desk.submit(2, m=3)
    assert not desk.take("m", desk.holder("share")).items


def test_nothing_is_due_once_the_run_is_over(desk: Desk) -> None:
    desk.submit(3, needs="az,bz")
    assert desk.claim("z")[0].status is ClaimStatus.EARLY
    assert desk.due() == ["a", "b"]
    desk.runs.cancel(desk.run)
    assert desk.due() == []
    desk.runs.detach(desk.run, NodeName("z"))
    assert not desk.client.exists(desk.keys.due, desk.keys.missing, desk.keys.alone)


def test_an_item_that_is_tried_again_leaves_the_others_their_lease(desk: Desk) -> None:
    desk.submit(2)
    desk.expand("m", 3)
    share = desk.holder("share")
    desk.take("m", share)
    assert desk.take("m", desk.holder("share")).items  # another turn of the same delivery
    desk.runs.retry(desk.run, NodeName("m[0]"), share.token, error="OSError", traceback="…", wait=1.0)
    assert desk.leases() == [share.delivery]


def test_a_failed_node_leaves_no_lease(desk: Desk) -> None:
    desk.submit(2)
    desk.fail("a", desk.begin("a"))
    assert desk.leases() == []


def test_an_ended_run_leaves_no_lease_and_nothing_due(desk: Desk) -> None:
    desk.submit(2, needs="mz")
    desk.expand("m", 1)
    share = desk.holder("share")
    desk.take("m", share)
    done = [DoneItem(index=0, began=0.2, ended=0.1)]
    settled = desk.runs.commit_items(desk.run, NodeName("m"), share.token, done, needed_by=[NodeName("z")])
    assert settled.ready == (DueNode(NodeName("z")),)
    assert desk.commit("z").ending is RunEnding.OVER
    assert desk.reader.state(desk.run) is RunState.SUCCEEDED
    assert desk.leases() == desk.due() == []


def test_a_node_is_due_until_it_is_claimed_and_again_when_its_worker_is_lost(desk: Desk) -> None:
    desk.submit(2, needs="az")
    assert desk.due() == ["a"]
    holder = desk.holder("a")
    desk.runs.claim(desk.run, NodeName("a"), holder)
    assert desk.due() == []
    desk.runs.mark_lost(desk.run, holder.delivery, error="its worker was lost")
    assert desk.due() == ["a"]
    assert desk.commit("a", needed_by="z").ready == (DueNode(NodeName("z")),)
    assert desk.due() == ["z"]


def test_a_message_that_comes_too_early_starts_nothing_and_is_needed_no_more(desk: Desk) -> None:
    desk.submit(3, needs="az,bz")
    desk.commit("a", needed_by="z")
    assert desk.claim("z")[0].status is ClaimStatus.EARLY
    assert desk.commit("b", needed_by="z").ready == (DueNode(NodeName("z"), alone=True),)
    assert desk.claim("z")[0].status is ClaimStatus.CLAIMED


def test_a_need_that_is_recorded_twice_counts_once(desk: Desk) -> None:
    desk.submit(3, needs="az,bz")
    token = desk.begin("a")
    for _ in range(2):
        desk.runs.commit(desk.run, NodeName("a"), token, needed_by=[NodeName("z")])
    assert desk.claim("z")[0].status is ClaimStatus.EARLY


def test_who_delivers_what_was_done_before_is_told_what_nobody_has_claimed(desk: Desk) -> None:
    desk.submit(3, needs="ay,az")
    desk.commit("a", needed_by="yz")
    desk.begin("y")
    claim, _ = desk.claim("a", needed_by="yz")
    assert (claim.status, claim.ready) == (ClaimStatus.DONE, (DueNode(NodeName("z")),))


def test_a_branch_that_leaves_the_canvas_has_its_join_sent_by_the_last_need(desk: Desk) -> None:
    desk.submit(3, needs="az,bz")
    desk.commit("a", needed_by="z")
    desk.runs.detach(desk.run, NodeName("z"))
    assert desk.commit("b", needed_by="z").ready == (DueNode(NodeName("z"), alone=True),)


def test_a_map_is_due_as_long_as_items_are_left(desk: Desk) -> None:
    desk.submit(1, needs="mz")
    desk.expand("m", 2)
    first, second = desk.holder("first"), desk.holder("second")
    assert desk.due() == ["m"]
    desk.take("m", first)
    assert desk.due() == ["m"]
    desk.take("m", second)
    assert desk.due() == []
    desk.runs.mark_lost(desk.run, first.delivery, error="its worker was lost")
    assert desk.due() == ["m"]
    assert desk.claim("m")[0].counts.number == 2  # its message calls workers again
    desk.runs.retry(desk.run, NodeName("m[1]"), second.token, error="OSError", traceback="", wait=60.0)
    assert desk.due() == ["m", "m[1]"]
    assert desk.reader.overdue(desk.run, 0.0) == ["m"]


def test_a_lost_message_is_sent_again_by_one(desk: Desk) -> None:
    desk.submit(2, needs="az")
    assert not desk.runs.resend(desk.run, NodeName("a"), due=60.0)
    assert not desk.runs.resend(desk.run, NodeName("z"), due=0.0)
    desk.client.zadd(desk.keys.due, {"a": 1000.0})
    assert [desk.runs.resend(desk.run, NodeName("a"), due=60.0) for _ in range(2)] == [True, False]


def test_an_item_that_is_lost_when_its_map_has_failed_ends_all_the_same(desk: Desk) -> None:
    desk.submit(1)
    desk.expand("m", 2)
    lost, failing = desk.holder("lost"), desk.holder("failing", worker="bob")
    assert list(desk.take("m", lost).items) == [0]
    assert list(desk.take("m", failing).items) == [1]
    desk.fail("m[1]", failing.token, group="m")
    assert desk.state("m") is NodeState.FAILED
    desk.runs.mark_lost(desk.run, lost.delivery, error="its worker was lost")
    assert desk.claim("m")[0].status is ClaimStatus.EXPANDED, "its message calls workers to what is left"
    again = desk.holder("again")
    assert list(desk.take("m", again).items) == [0]
    desk.runs.commit_items(desk.run, NodeName("m"), again.token, [DoneItem(index=0, began=0.0, ended=0.0)])
    assert desk.reader.state(desk.run) is RunState.FAILED


def test_the_failure_of_a_map_is_told(desk: Desk) -> None:
    desk.submit(2, m=2)
    desk.fail("m[0]", desk.begin("m[0]"), group="m", descendants="z")
    assert desk.told("m") == ["failed"]


def test_a_cancelled_delivery_is_named_once(desk: Desk) -> None:
    desk.submit(2)
    desk.expand("m", 3)
    share = desk.holder("share")
    desk.take("m", share)
    assert desk.take("m", desk.holder("share")).items  # another turn of the same delivery
    assert desk.runs.cancel(desk.run) == (share.delivery,)


def test_an_attempt_whose_output_was_written_has_ended_when_the_run_goes_on(desk: Desk) -> None:
    desk.submit(2)
    desk.begin("a")
    desk.reopen(1, "a")
    (a, *_) = desk.reader.read(desk.run, CHAIN.graph).nodes
    assert a.state is NodeState.SUCCEEDED
    assert a.attempts[0].ended is not None


def test_a_cancelled_attempt_is_not_told_that_it_has_committed(desk: Desk) -> None:
    desk.submit(2)
    token = desk.begin("a")
    desk.runs.cancel(desk.run)
    assert not desk.runs.commit(desk.run, NodeName("a"), token).accepted


def test_an_attempt_that_its_parent_failed_is_not_told_that_it_has_committed(desk: Desk) -> None:
    desk.submit(2)
    holder = desk.holder("a")
    desk.runs.claim(desk.run, NodeName("a"), holder)
    for _ in range(2):
        assert desk.fail("a", holder.delivery).accepted
    assert not desk.runs.commit(desk.run, NodeName("a"), holder.token).accepted
    assert not desk.fail("a", holder.token).accepted


def test_whoever_repeats_the_end_of_the_last_handler_is_told_that_the_run_is_over(desk: Desk) -> None:
    desk.submit(1, handlers="h")
    failed = desk.begin("a")
    assert desk.fail("a", failed).ending is RunEnding.HANDLERS
    assert desk.fail("a", failed).ending is RunEnding.HANDLERS
    other = desk.begin("h")
    endings = [desk.runs.commit(desk.run, NodeName("h"), other).ending for _ in range(2)]
    assert endings == [RunEnding.OVER, RunEnding.OVER]
    assert desk.reader.state(desk.run) is RunState.FAILED


def test_whoever_repeats_the_end_of_one_handler_does_not_send_the_others_again(desk: Desk) -> None:
    desk.submit(1, handlers="gh")
    desk.fail("a", desk.begin("a"))
    token = desk.begin("g")
    endings = [desk.runs.commit(desk.run, NodeName("g"), token).ending for _ in range(2)]
    assert endings == [RunEnding.NONE, RunEnding.NONE]


def test_whoever_records_the_last_items_twice_is_told_twice_that_the_run_is_over(desk: Desk) -> None:
    desk.submit(1)
    desk.expand("m", 1)
    share = desk.holder("share")
    desk.take("m", share)
    done = [DoneItem(index=0, began=0.2, ended=0.1)]
    replies = [desk.runs.commit_items(desk.run, NodeName("m"), share.token, done) for _ in range(2)]
    assert [reply.ending for reply in replies] == [RunEnding.OVER, RunEnding.OVER]


def test_what_needs_a_map_without_open_items_is_told_again(desk: Desk) -> None:
    desk.submit(2, needs="mz")
    token = desk.begin("m")
    after = [NodeName("z")]
    replies = [desk.runs.expand(desk.run, NodeName("m"), token, items=0, needed_by=after) for _ in range(2)]
    assert [reply.ready for reply in replies] == [(DueNode(NodeName("z")),)] * 2


def test_what_needs_a_map_whose_last_item_failed_is_told_again(desk: Desk) -> None:
    desk.submit(2, needs="mz", m=1)
    token = desk.begin("m[0]")
    replies = [desk.fail("m[0]", token, group="m", tolerated=1.0, needed_by="z") for _ in range(2)]
    assert [reply.ready for reply in replies] == [(DueNode(NodeName("z")),)] * 2


def test_only_handlers_are_due_once_a_failure_is_handled(desk: Desk) -> None:
    desk.submit(3, handlers="h", fail_fast=True, needs="az,bz")
    desk.fail("a", desk.begin("a"))
    assert desk.due() == ["h"]


def test_what_was_stopped_before_it_began_is_shown_as_cancelled_while_the_failure_is_handled(
    desk: Desk,
) -> None:
    whole = failing(CROSSED, "h", fail_fast=True)
    desk.submit(5, handlers="h", fail_fast=True)
    desk.fail("a", desk.begin("a"), descendants="cde")
    shown = {node.name: node.state for node in desk.reader.read(desk.run, whole.graph).nodes}
    assert (shown["b"], shown["h"]) == (NodeState.CANCELLED, NodeState.QUEUED)


def test_a_cancel_while_a_failure_is_handled_stops_that_too(desk: Desk) -> None:
    desk.submit(1, handlers="gh")
    desk.fail("a", desk.begin("a"))
    token = desk.begin("g")
    assert desk.runs.cancel(desk.run) == ("ann#g",)
    assert not desk.runs.commit(desk.run, NodeName("g"), token).accepted
    assert desk.reader.state(desk.run) is RunState.CANCELLED
    assert {desk.state(name) for name in "gh"} == {NodeState.CANCELLED}


def test_a_run_of_which_a_wiped_redis_hears_only_the_end_stays_unknown(desk: Desk) -> None:
    desk.submit(3)
    desk.runs.cancel(desk.run)
    ended = desk.reader.end(desk.run)
    assert ended is not None
    desk.client.flushall()
    assert not desk.runs.conclude(desk.run, ended, mlflow_run_id="a1", retention=60)
    with pytest.raises(UnknownRun):
        desk.reader.summary(desk.run)


def test_who_claims_after_redis_was_started_again_is_told_to_look_in_the_store(desk: Desk) -> None:
    desk.submit(3)
    assert not desk.claim("a")[0].counts.forgetful
    desk.client.hset(desk.keys.meta, "start", "of another process")
    desk.expand("m", 3)
    taken = desk.take("m", desk.holder("share")).items
    assert [each.forgetful for each in taken.values()] == [True]
    desk.runs.cancel(desk.run)
    desk.reopen(2, "a")
    again, _ = desk.claim("m")
    assert again.status is ClaimStatus.CLAIMED
    assert not again.counts.forgetful


def test_only_the_attempt_that_has_a_node_tells_how_far_it_has_come(desk: Desk) -> None:
    desk.submit(0, needs="ab")
    lost, node = desk.begin("a"), NodeName("a")

    def told() -> Progress | None:
        return desk.runs.renew_and_look(desk.run, "ann#a", node).progress

    def tell(token: str, number: int, done: int) -> None:
        desk.runs.set_progress(desk.run, node, token, AttemptProgress(number, Progress(done=done)))

    tell(lost, 1, 7)
    assert told() == Progress(done=7)
    desk.runs.mark_lost(desk.run, "ann#a", error="its process was killed")
    assert told() is None
    token = desk.begin("a")
    tell(lost, 1, 8)
    assert told() is None
    tell(token, 2, 0)
    assert told() == Progress(done=0)
    desk.runs.set_progress(desk.run, node, token, None)
    assert told() is None
    tell(token, 2, 1)
    desk.runs.cancel(desk.run)
    tell(token, 2, 2)
    assert not desk.client.exists(desk.keys.progress)
