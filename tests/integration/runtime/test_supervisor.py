"""The supervisor: one of several leads, and a run whose messages are lost is sent again."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
import redis

from orchestrator.archive.specification import Specification
from orchestrator.coordinator.submission import code_of, new_run_id
from orchestrator.runs.reader import RunReader
from orchestrator.runs.transitions import RunStore
from orchestrator.settings import settings
from orchestrator.supervisor.contact import Contact
from orchestrator.supervisor.leadership import leads, step_down
from orchestrator.supervisor.supervisor import Supervisor

from ..conftest import wait_until
from .conftest import Runner

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


def test_a_run_whose_messages_are_lost_is_sent_again(runner: Runner, client: redis.Redis) -> None:
    prepared = runner.prepare("diamond")
    now = datetime.now(UTC)
    run = new_run_id("diamond", now)
    specification = Specification(
        run=run, graph=prepared.graph, parameters={}, submitted=now, code=code_of(prepared.graph)
    )
    specification.write(runner.store)
    runner.runs.submit(run, pipeline="diamond", parameters={}, nodes=5, maps={}, submitted=now.timestamp())
    hasty = Supervisor(
        RunStore(client), RunReader(client), lambda: runner.store, settings().queues, lease_seconds=0.3
    )
    stop = threading.Event()
    thread = threading.Thread(target=hasty.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: runner.reader.state(run) == "succeeded", "the run succeeds")
    finally:
        stop.set()
        thread.join()


def test_a_run_that_ended_and_was_never_written_down_is(runner: Runner, client: redis.Redis) -> None:
    record = runner.run("diamond")
    client.hdel(f"orc:{{{record.id}}}:meta", "concluded")
    client.sadd("orc:ended", record.id)
    supervisor = Supervisor(
        RunStore(client), RunReader(client), lambda: runner.store, settings().queues, lease_seconds=0.3
    )

    def concluded() -> bool:
        supervisor.look()
        return runner.reader.concluded(record.id)

    wait_until(concluded, "the run is written down")
    assert record.id not in runner.reader.unconcluded_runs()


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
