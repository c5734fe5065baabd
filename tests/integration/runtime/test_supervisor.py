"""The supervisor: one of several leads, and a run whose messages are lost is sent again."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import redis

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import NodeName
from orchestrator.code import code_of
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.canvas import Canvas
from orchestrator.coordinator.after_power_cut import runs_at_work, send_what_differs_again
from orchestrator.coordinator.backlog import LIFETIME
from orchestrator.coordinator.contact import Contact
from orchestrator.coordinator.supervisor import Supervisor
from orchestrator.messaging.app import app
from orchestrator.messaging.priorities import level, list_of
from orchestrator.messaging.set_aside import messages_set_aside
from orchestrator.messaging.unacked import FETCHED, UNACKED, waiting_nodes
from orchestrator.run_id import RunId, new_run_id
from orchestrator.runs.keys import ALL_RUNS, BACKLOG, LEADER, UNFINISHED_RUNS, WORKER, RunKeys
from orchestrator.runs.leadership import leads, step_down
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import ClaimStatus, Holder
from orchestrator.settings import settings
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def test_one_leads_and_another_takes_over(client: redis.Redis) -> None:
    assert leads(client, "first", 0.5)
    assert not leads(client, "second", 0.5)
    assert leads(client, "first", 0.2)
    wait_until(lambda: leads(client, "second", 0.5), "the second takes over", 2)
    assert not leads(client, "first", 0.5)
    step_down(client, "first")
    assert not leads(client, "first", 0.5)
    step_down(client, "second")
    assert leads(client, "first", 0.1)
    step_down(client, "first")


def test_who_steps_down_late_leaves_the_lead_to_whoever_took_it(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leads(client, "first", 60)
    read, taken = client.get, []

    def read_and_be_paused(name: str) -> object:
        found = read(name)
        taken.append(client.set(LEADER, "second"))
        return found

    monkeypatch.setattr(client, "get", read_and_be_paused)
    step_down(client, "first")
    assert read(LEADER) == ("second" if taken else None)
    client.delete(LEADER)


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_the_message_of_a_dead_worker_is_handed_back_whatever_its_clock_said(
    client: redis.Redis, ahead: float
) -> None:
    """Kombu notes when a message was fetched, by the clock of the worker's machine."""
    run, tag = f"nobody-{uuid4().hex[:8]}", uuid4().hex
    packed = {"body": _packed({"run": run, "node": "some"}), "headers": {"id": uuid4().hex, "task": "any"}}
    content = {"content-type": "application/json", "content-encoding": "utf-8"}
    properties: dict[str, Any] = {"body_encoding": "base64", "delivery_tag": tag}
    properties["delivery_info"] = {"exchange": "", "routing_key": "spare"}
    message = {**packed, **content, "properties": properties}
    client.hset(UNACKED, tag, json.dumps([message, "", "spare"]))
    client.zadd(FETCHED, {tag: time.time() + ahead})
    supervisor = hasty(client)
    supervisor.check_runs()
    assert client.hexists(UNACKED, tag), "its worker has not had the time to say that it holds it"

    def handed_back() -> bool:
        supervisor.check_runs()
        return not client.hexists(UNACKED, tag)

    try:
        wait_until(handed_back, "the message is back in its queue", 10)
        assert (run, "some") in waiting_nodes(client, ["spare"])
    finally:
        client.delete("spare", LEADER)


class Paused(RunReader):
    """As if the supervisor were paused just after it read which leases are over; `meanwhile` happens then."""

    meanwhile: Callable[[RunId], object]

    def expired_leases(self, run: RunId) -> list[str]:
        found = super().expired_leases(run)
        self.meanwhile(run)
        return found


def test_a_supervisor_that_was_paused_ends_no_lease_that_was_renewed(client: redis.Redis) -> None:
    runs, run = RunStore(client, lease_seconds=3600), RunId(f"paused-{uuid4().hex[:8]}")
    holder = Holder(token=uuid4().hex, delivery="worker#message/tag", worker="worker")
    runs.submit(run, pipeline="paused", parameters={}, needs={NodeName("one"): 0}, maps={}, submitted=0.0)
    runs.claim(run, NodeName("one"), holder)
    reader = Paused(client)
    reader.meanwhile = lambda run: runs.renew(run, holder.delivery)
    supervisor = hasty(client, reader)

    def looked() -> bool:
        client.zadd(RunKeys(run).leases, {holder.delivery: 0})
        supervisor.check_runs()
        return client.zscore(RunKeys(run).leases, holder.delivery) != 0

    try:
        wait_until(looked, "it has looked", 10)
        assert RunReader(client).held_by(run, holder.delivery) == ["one"]
    finally:
        client.delete(*RunKeys(run).all(), LEADER)


def hasty(client: redis.Redis, reader: RunReader | None = None) -> Supervisor:
    """A supervisor with a short lease, of runs that are in no store."""
    client.delete(LEADER)
    empty = ArtifactStore("memory://")
    runs = RunStore(client, lease_seconds=3600)
    return Supervisor(runs, reader or RunReader(client), lambda: empty, settings().queues, lease_seconds=0.3)


@contextmanager
def supervised_hastily(runner: Runner, client: redis.Redis, lease_seconds: float = 0.3) -> Iterator[None]:
    """A supervisor that takes a run for stalled at its first look.

    It looks once a second: with a lease shorter than that, it has lost sight of Redis at each later look.
    """
    runs, queues = RunStore(client), settings().queues
    hasty = Supervisor(runs, RunReader(client), lambda: runner.store, queues, lease_seconds=lease_seconds)
    stop = threading.Event()
    thread = threading.Thread(target=hasty.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def submit_without_a_message(runner: Runner, pipeline: str, **parameters: object) -> RunId:
    """A run as if its first messages had been lost."""
    prepared = runner.prepare(pipeline, **parameters)
    now = datetime.now(UTC)
    run = new_run_id(pipeline)
    Specification(
        run=run, graph=prepared.graph, parameters={}, submitted=now, code=code_of(prepared.graph)
    ).write(runner.store)
    needs = {node.name: len(node.needs) for node in prepared.graph}
    runner.runs.submit(run, pipeline=pipeline, parameters={}, needs=needs, maps={}, submitted=now.timestamp())
    return run


def test_a_run_whose_messages_are_lost_is_sent_again(runner: Runner, client: redis.Redis) -> None:
    run = submit_without_a_message(runner, "diamond")
    with supervised_hastily(runner, client):
        wait_until(lambda: runner.reader.state(run) == "succeeded", "the run succeeds")


@contextmanager
def kept_for_an_hour(runner: Runner, client: redis.Redis, run: RunId, pipeline: str) -> Iterator[None]:
    """As if a worker had fetched the run's first messages, by whose clock it is not time for them yet."""
    graph, tags, ids = runner.prepare(pipeline).graph, [], []
    for node in graph:
        if not node.needs:
            first = Canvas(app, arrange(graph), run).by_itself(node.name)
            first.apply_async(queue="spare", countdown=3600)
            message = json.loads(str(client.rpop("spare")))
            tags.append(message["properties"]["delivery_tag"])
            ids.append(message["headers"]["id"])
            client.hset(UNACKED, tags[-1], json.dumps([message, "", node.policy.queue]))
    slow = WORKER.format(name="slow@elsewhere")
    client.set(slow, json.dumps({"queues": [], "holds": ids}), px=120_000)
    try:
        yield
    finally:
        client.hdel(UNACKED, *tags)
        client.delete(slow)


def test_a_message_that_is_kept_for_later_by_a_wrong_clock_is_sent_again(
    runner: Runner, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.coordinator.supervisor.LONGEST_WAIT", 1.0)
    run = submit_without_a_message(runner, "diamond")
    with (
        kept_for_an_hour(runner, client, run, "diamond"),
        supervised_hastily(runner, client, lease_seconds=1.5),
    ):
        wait_until(lambda: runner.reader.state(run) == "succeeded", "the run succeeds")


def test_a_run_that_no_list_names_is_found_and_sent(runner: Runner, client: redis.Redis) -> None:
    """As if whoever submitted it had been killed in the middle."""
    run = submit_without_a_message(runner, "diamond")
    client.srem(UNFINISHED_RUNS, run)
    client.zrem(ALL_RUNS, run)
    with supervised_hastily(runner, client):
        wait_until(lambda: runner.reader.concluded(run), "the run is written down")
    assert run in runner.reader.ids(10_000)
    wait_until(lambda: not client.sismember(UNFINISHED_RUNS, run), "the run is struck off")


@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_a_run_whose_specification_is_lost_fails_once(runner: Runner, client: redis.Redis, how: str) -> None:
    run = submit_without_a_message(runner, "diamond")
    specification = f"runs/{run}/specification.json"
    if how == "missing":
        runner.store.remove(specification)
    else:
        runner.store.write(specification, b'{"run": ')
    with supervised_hastily(runner, client, lease_seconds=1.5):
        wait_until(lambda: runner.reader.concluded(run), "the run is written down")
    record = runner.reader.summary(run)
    assert record.state == "failed"
    assert str(record.error).startswith("nobody can tell what the run consists of: ")
    assert "specification" in str(record.error)
    assert [event.state for event in runner.reader.events(run) if not event.node] == ["pending", "failed"]
    wait_until(lambda: not client.sismember(UNFINISHED_RUNS, run), "the run is struck off")
    assert client.ttl(RunKeys(run).meta) > 0


def test_what_has_failed_stays_failed_when_the_rest_is_sent_again(
    runner: Runner, client: redis.Redis
) -> None:
    run = submit_without_a_message(runner, "half_failed")
    token = uuid4().hex
    holder = Holder(token=token, delivery="worker#message", worker="worker")
    failed, needing = NodeName("fail"), [NodeName("add")]
    assert runner.runs.claim(run, failed, holder).status is ClaimStatus.CLAIMED
    runner.runs.fail(run, failed, token, error="ValueError: bad", traceback="", descendants=needing)
    with supervised_hastily(runner, client):
        wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    record = runner.reader.read(run, runner.prepare("half_failed").graph)
    assert record.state == "failed"
    assert record.error == "fail: ValueError: bad"
    assert states_of(record) == {
        "fail": "failed",
        "add": "upstream_failed",
        "number": "succeeded",
        "number-2": "succeeded",
    }
    assert [attempt.worker for attempt in nodes_of(record)["fail"].attempts] == ["worker"]


def test_a_run_that_ended_and_was_never_written_down_is(runner: Runner, client: redis.Redis) -> None:
    record = runner.run("diamond")
    client.hdel(f"orc:{{{record.id}}}:meta", "concluded")
    client.sadd(UNFINISHED_RUNS, record.id)
    supervisor = Supervisor(
        RunStore(client), RunReader(client), lambda: runner.store, settings().queues, lease_seconds=0.3
    )

    def concluded() -> bool:
        supervisor.check_runs()
        return runner.reader.concluded(record.id)

    wait_until(concluded, "the run is written down")
    assert record.id not in runner.reader.unconcluded_runs()


def test_autoscalers_are_told_how_much_waits_in_a_queue(client: redis.Redis) -> None:
    queue = "autoscaled"  # no other test leaves anything in it
    supervisor, key = replace(hasty(client), queues=(queue,)), BACKLOG.format(queue=queue)
    messages = [list_of(queue, level(priority)) for priority in (None, 0, 9)]
    for each in messages:
        client.lpush(each, "{}")

    def told() -> bool:
        supervisor.check_runs()
        return client.llen(key) == len(messages)

    try:
        wait_until(told, "the list is as long as what waits", 10)
        assert 0 < client.ttl(key) <= LIFETIME
    finally:
        client.delete(*messages, key, LEADER)


def test_leases_count_only_once_redis_was_there_for_as_long_as_one(client: redis.Redis) -> None:
    contact = Contact(client, lease_seconds=0.2)

    def is_steady() -> bool:
        contact.hear()
        return contact.is_steady

    wait_until(is_steady, "Redis is up for as long as a lease")
    contact.lose()
    assert not is_steady()
    wait_until(is_steady, "Redis was there for as long as a lease", 5)
    time.sleep(0.3)  # as a machine that sleeps, or a Redis that hangs
    assert not is_steady()
    wait_until(is_steady, "Redis was there for as long as a lease", 5)


def _packed(kwargs: dict[str, object]) -> str:
    return base64.b64encode(json.dumps([[], kwargs, {}]).encode()).decode()


def test_one_bad_message_or_run_keeps_no_other_from_being_looked_after(
    runner: Runner, client: redis.Redis
) -> None:
    nameless = {"body_encoding": "base64"}
    anonymous = {"body": _packed({"run": "nobody-3"}), "headers": {}, "properties": nameless}
    bad: dict[Any, Any] = {"1": "garbage", "2": "5", "3": json.dumps([5, "", "data"])}
    bad["4"] = json.dumps([anonymous, "", "data"])
    client.hset("unacked", mapping=bad)
    # fetched just now, so that no worker of the other tests restores them as overdue
    client.zadd("unacked_index", dict.fromkeys(bad, time.time()))
    client.lpush("spare", "garbage", json.dumps({"body": _packed({"run": {}})}), json.dumps({"body": 5}))
    client.delete(LEADER)  # a supervisor of the tests before may still lead
    unreadable = RunKeys(RunId("unreadable-1"))
    client.sadd(UNFINISHED_RUNS, unreadable.run)
    client.hset(unreadable.meta, "state", "running")
    client.set(unreadable.leases, "no sorted set")
    run = submit_without_a_message(runner, "diamond")
    with supervised_hastily(runner, client):
        wait_until(lambda: runner.reader.state(run) == "succeeded", "the run succeeds")
        wait_until(lambda: runner.reader.conclusion_error(unreadable.run), "the other is named")
    told = {*bad.values()}
    wait_until(lambda: {each.text for each in messages_set_aside(client)} >= told, "all are set aside")
    assert not set(bad) & set(client.hkeys("unacked"))
    client.srem(UNFINISHED_RUNS, unreadable.run)
    client.delete(*unreadable.all(), "spare")


def test_a_run_that_makes_no_sense_keeps_no_stack_down(
    runner: Runner, client: redis.Redis, redis_url: str
) -> None:
    bad = RunId("odd-20260101-000000-0000")
    client.hset(RunKeys(bad).meta, "state", "no state")
    client.sadd(UNFINISHED_RUNS, bad)
    try:
        told = list(send_what_differs_again(runs_at_work(redis_url), settings(), redis_url))
    finally:
        client.srem(UNFINISHED_RUNS, bad)
        client.delete(*RunKeys(bad).all())
    (line,) = (each for each in told if bad in each)
    assert line.startswith(f"run {bad} cannot be looked at: UnreadableRun: ")
