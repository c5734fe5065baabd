"""Dead workers, cancelled and resumed runs, a Redis that forgot everything."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from time import monotonic

import pytest
import redis

from orchestrator.archive.manifest import Manifest, read_items, write_items
from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import encode
from orchestrator.client.run_lookup import Records
from orchestrator.coordinator.service import supervised
from orchestrator.lifecycle.ending import cancel
from orchestrator.lifecycle.resume import send_round
from orchestrator.lifecycle.submission import submit
from orchestrator.messaging.unacked import waiting_nodes
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.errors import RoundTaken, RunIsOver
from orchestrator.runs.record import RunRecord
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import FencingNumber
from orchestrator.settings import settings
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.services import Service, is_ready, knows_of_its_lost_lease, start_worker
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

#: Failed runs that eight commands carry on at the same time.
RESUMES = int(os.environ.get("RESUMES", "10"))


@pytest.fixture
def second(environment: dict[str, str], tmp_path: Path, runner: Runner) -> Iterator[Service]:
    """Another worker, whose whole process group the test may kill."""
    log = tmp_path / "second.log"
    service = start_worker(environment, log, name="second", slots=1, queues="data", group=True)
    wait_until(lambda: is_ready(service), "the second worker is ready")
    yield service
    kill_group(service, signal.SIGCONT)
    kill_group(service, signal.SIGKILL)
    service.process.wait()


@pytest.fixture
def start_spare(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """The way to start workers of a queue that no other test's worker reads."""
    started: list[Service] = []

    def start(name: str) -> Service:
        log = tmp_path / f"{name}.log"
        started.append(start_worker(environment, log, name=name, slots=1, queues="spare", group=True))
        wait_until(lambda: is_ready(started[-1]), f"{name} is ready")
        return started[-1]

    yield start
    for service in started:
        kill_group(service, signal.SIGKILL)
        service.process.wait()


def kill_group(service: Service, number: signal.Signals) -> None:
    """Send a signal to a worker and all its children, as when a machine loses power."""
    if service.process.poll() is None:
        service.signal_all(number)


def record_of(runner: Runner, run: RunId, pipeline: str, **parameters: object) -> RunRecord:
    return runner.reader.read(run, runner.prepare(pipeline, **parameters).graph)


def resume(runner: Runner, run: RunId, pipeline: str) -> RunRecord:
    """Carry a run on that could not be mended before, to its end."""
    send_round(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(run), "the resumed run is concluded")
    return record_of(runner, run, pipeline, marker="", path="")


def runs_on(runner: Runner, run: RunId, node: str) -> str | None:
    """The worker that runs a node just now."""
    found = nodes_of(record_of(runner, run, "lingering", marker="")).get(node)
    return found.attempts[-1].worker if found and found.state == "running" else None


def submit_until_on(runner: Runner, worker: str, marker: Path) -> RunId:
    """Submit runs that linger until one of them is on that worker; the others are let go then."""
    others: list[Path] = []
    for number in range(20):
        own = marker.with_name(f"{marker.name}-{number}")
        run = runner.submit("lingering", marker=str(own))
        wait_until(lambda run=run: runs_on(runner, run, "linger"), "the run lingers")  # type: ignore[misc]
        if runs_on(runner, run, "linger") == worker:
            for other in others:
                other.touch()
            return run
        others.append(own)
    raise AssertionError(f"{worker} never took a stage")


@pytest.mark.slow
def test_a_killed_workers_stage_moves_to_another(runner: Runner, second: Service, tmp_path: Path) -> None:
    run = submit_until_on(runner, "second@test", tmp_path / "go")
    with supervised(settings(), str(settings().redis_url)):
        kill_group(second, signal.SIGKILL)
        began = monotonic()
        wait_until(lambda: runs_on(runner, run, "linger") == "all@test", "the stage runs elsewhere", 15)
        print(f"the stage runs elsewhere after {monotonic() - began:.1f} s")
        for marker in range(20):
            (tmp_path / f"go-{marker}").touch()
        wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    attempts = nodes_of(record_of(runner, run, "lingering", marker=""))["linger"].attempts
    assert [attempt.worker for attempt in attempts] == ["second@test", "all@test"]
    assert attempts[0].error == "its worker was lost"
    assert runner.reader.state(run) == "succeeded"


@pytest.mark.slow
def test_a_paused_worker_cannot_commit_after_its_lease_moved(
    runner: Runner, second: Service, tmp_path: Path
) -> None:
    run = submit_until_on(runner, "second@test", tmp_path / "go")
    with supervised(settings(), str(settings().redis_url)):
        kill_group(second, signal.SIGSTOP)
        wait_until(lambda: runs_on(runner, run, "linger") == "all@test", "the stage runs elsewhere", 15)
        for marker in range(20):
            (tmp_path / f"go-{marker}").touch()
        wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
        kill_group(second, signal.SIGCONT)
        wait_until(lambda: knows_of_its_lost_lease(second.log), "the paused worker has noticed")
    record = record_of(runner, run, "lingering", marker="")
    assert record.state == "succeeded"
    assert len(nodes_of(record)["linger"].attempts) == 2
    assert len(nodes_of(record)["number"].attempts) == 1


@pytest.mark.slow
def test_a_stage_that_holds_the_interpreter_for_longer_than_its_lease_is_not_taken_for_dead(
    runner: Runner,
) -> None:
    with supervised(settings(), str(settings().redis_url)):
        record = runner.run("holding", seconds=int(2 * settings().lease_seconds))
    assert record.state == "succeeded"
    assert len(nodes_of(record)["hold_the_interpreter"].attempts) == 1


@pytest.mark.slow
def test_a_retry_that_a_dead_worker_kept_in_mind_is_made_by_another(
    runner: Runner, start_spare: Callable[[str], Service]
) -> None:
    first = start_spare("first")
    run = runner.submit("spare")
    wait_until(lambda: runner.reader.raw_states(run).get("tries_twice") == "retrying", "it waits for a retry")
    kill_group(first, signal.SIGKILL)
    start_spare("second")
    with supervised(settings(), str(settings().redis_url)):
        wait_until(lambda: runner.reader.state(run).over, "the retry is made", 40)
    node = nodes_of(record_of(runner, run, "spare"))["tries_twice"]
    assert [attempt.worker for attempt in node.attempts] == ["first@test", "second@test"]
    assert node.value == 2


def test_what_was_stored_and_not_recorded_is_taken_by_the_next_attempt(
    runner: Runner, worker: Service, tmp_path: Path
) -> None:
    run = runner.submit("lingering", marker=str(tmp_path / "never"))
    wait_until(lambda: runs_on(runner, run, "linger"), "the run lingers")
    Manifest(node="linger", attempt=1, output=encode("stored before", str, runner.store)).write(
        runner.store, run
    )
    for process in worker.pool():
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    node = nodes_of(record_of(runner, run, "lingering", marker=""))["linger"]
    assert node.value == "stored before"
    assert len(node.attempts) == 2


def test_a_stage_that_kills_its_workers_is_failed(runner: Runner) -> None:
    record = runner.run("deadly")
    assert record.state == "failed"
    assert "was running when 3 workers died" in (record.error or "")


def test_a_cancelled_run_stops_at_once_and_can_be_resumed(runner: Runner, tmp_path: Path) -> None:
    marker = tmp_path / "go"
    run = runner.submit("lingering", marker=str(marker))
    wait_until(lambda: runs_on(runner, run, "linger"), "the run lingers")
    assert cancel(run, store=runner.store, runs=runner.runs) == 1
    assert runner.reader.state(run) == "cancelled"
    assert set(states_of(record_of(runner, run, "lingering", marker="")).values()) == {"cancelled"}
    assert cancel(run, store=runner.store, runs=runner.runs) == 1  # told once more
    wait_until(lambda: runner.reader.concluded(run), "the cancelled run is concluded")
    marker.touch()
    send_round(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.state(run) == "succeeded", "the resumed run succeeds")
    with pytest.raises(RunIsOver, match="is over"):
        cancel(run, store=runner.store, runs=runner.runs)


def test_a_failed_run_is_resumed_and_recomputes_nothing(runner: Runner, tmp_path: Path) -> None:
    marker, lines = tmp_path / "mended", tmp_path / "lines"
    record = runner.run("mendable", marker=str(marker), path=str(lines))
    assert record.state == "failed"
    marker.touch()
    again = resume(runner, record.id, "mendable")
    assert again.state == "succeeded"
    assert nodes_of(again)["note"].reused
    assert nodes_of(again)["note"].why == "committed before the run was carried on"
    assert not nodes_of(again)["fails_until"].reused
    assert nodes_of(again)["fails_until"].why == "run: it had not succeeded"
    counts = Counter(lines.read_text().split())
    assert counts.pop("1") == 3
    assert set(counts.values()) == {1}


def test_a_long_map_is_resumed_behind_the_items_that_are_done(runner: Runner, tmp_path: Path) -> None:
    marker, lines = tmp_path / "mended", tmp_path / "lines"
    record = runner.run("mendable_map", marker=str(marker), path=str(lines))
    assert record.state == "failed"
    marker.touch()
    again = resume(runner, record.id, "mendable_map")
    assert again.state == "succeeded"
    assert nodes_of(again)["add"].value == sum(range(100))
    assert set(Counter(lines.read_text().split()).values()) == {1}
    items = read_items(runner.store, record.id, "stops_at").outputs
    stale = {index: encode(-1, int, runner.store) for index in range(100)}
    write_items(runner.store, record.id, "stops_at", FencingNumber(0, 99), "stale", stale)
    assert read_items(runner.store, record.id, "stops_at").outputs == items


def test_what_is_done_is_told_though_redis_was_wiped_and_nobody_wrote_the_end_down(
    runner: Runner, client: redis.Redis, tmp_path: Path
) -> None:
    """Items that were committed together, and nodes that a later round has redone."""
    marker, lines = tmp_path / "mended", tmp_path / "lines"
    failed = runner.run("mendable", marker=str(marker), path=str(lines))
    marker.touch()
    before = resume(runner, failed.id, "mendable")
    assert before.round == 1
    for key in client.scan_iter("orc:*"):
        if failed.id in str(key):
            client.delete(key)
    for round in (0, 1):
        runner.store.remove(f"runs/{failed.id}/records/{round}.json")
    runner.store.remove(f"runs/{failed.id}/record.json")
    known = Records(runner.store, (runner.reader,)).get(failed.id)
    assert known.reader is None
    done = {node.name for node in before.nodes if node.state == "succeeded"}
    assert {node.name for node in known.record.nodes if node.state == "succeeded"} == done
    assert len(done) > 2


def test_a_run_goes_on_after_redis_was_wiped(runner: Runner, client: redis.Redis, tmp_path: Path) -> None:
    marker, lines = tmp_path / "mended", tmp_path / "lines"
    record = runner.run("mendable", marker=str(marker), path=str(lines))
    for key in client.scan_iter("orc:*"):
        if record.id in str(key):
            client.delete(key)
    marker.touch()
    assert resume(runner, record.id, "mendable").state == "succeeded"
    assert Counter(lines.read_text().split())["5"] == 1


def test_a_round_that_was_written_in_vain_counts_for_nothing(runner: Runner, tmp_path: Path) -> None:
    """As by somebody who was killed before the run went on."""
    marker, lines = tmp_path / "mended", tmp_path / "lines"
    record = runner.run("mendable", marker=str(marker), path=str(lines))
    every = frozenset(node.name for node in runner.prepare("mendable", marker="", path="").graph)
    assert Round(1, every, dict.fromkeys(every, 1)).write(runner.store, record.id)
    marker.touch()
    assert send_round(record.id, store=runner.store, runs=runner.runs) == 2
    wait_until(lambda: runner.reader.concluded(record.id), "the resumed run is concluded")
    assert record_of(runner, record.id, "mendable", marker="", path="").state == "succeeded"
    assert Round.read(runner.store, record.id, 2).redone == {}


@pytest.mark.parametrize("times", [1, pytest.param(RESUMES, marks=pytest.mark.slow)])
@pytest.mark.timeout(60 + 20 * RESUMES)
def test_of_several_who_carry_a_run_on_at_once_one_does(
    runner: Runner, tmp_path: Path, redis_url: str, times: int
) -> None:
    for number in range(times):
        marker, lines = tmp_path / f"mended {number}", tmp_path / f"lines {number}"
        record = runner.run("mendable", marker=str(marker), path=str(lines))
        before = Counter(lines.read_text().split())
        marker.touch()

        ready = Barrier(8)  # who comes once the round goes on may carry that on, too

        def carry_on(_: int, run: RunId = record.id, ready: Barrier = ready) -> bool:
            client = connect(redis_url)
            client.ping()
            ready.wait(30)
            try:
                send_round(run, store=runner.store, runs=RunStore(client))
            except RoundTaken:
                return False
            finally:
                client.close()
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(carry_on, range(8))) == [*[False] * 7, True]
        (begun,) = runner.store.keys(f"runs/{record.id}/rounds")  # the others leave none of theirs
        status = runner.runs.status(record.id)
        assert status is not None
        assert Path(begun).stem == str(status.round)
        wait_until(lambda run=record.id: runner.reader.concluded(run), "the resumed run is concluded")  # type: ignore[misc]
        again = record_of(runner, record.id, "mendable", marker="", path="")
        assert again.state == "succeeded"
        assert Counter(lines.read_text().split())["5"] == before["5"] == 1


def test_two_runs_of_the_same_name_are_two(runner: Runner) -> None:
    prepared = runner.prepare("diamond")
    taken = runner.run("diamond").id
    names = iter([taken, taken, RunId(f"{taken}-2")])
    run = submit(prepared, store=runner.store, runs=runner.runs, ids=lambda _: next(names))
    assert run == f"{taken}-2"
    wait_until(lambda: runner.reader.concluded(run), "it is concluded")


@pytest.mark.parametrize("pipeline", ["diamond", "known_map", "run_time_map", "told"])
def test_a_run_that_redis_has_forgotten_ends_though_all_of_it_is_stored(
    runner: Runner, client: redis.Redis, pipeline: str, tmp_path: Path
) -> None:
    (marker := tmp_path / "mended").touch()
    parameters = {"marker": str(marker)} if pipeline == "told" else {}
    record = runner.run(pipeline, **parameters)
    assert record.state == "succeeded"
    for key in client.scan_iter("orc:*"):
        if record.id in str(key):
            client.delete(key)
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the run is concluded")
    again = record_of(runner, record.id, pipeline, **parameters)
    assert again.state == "succeeded"
    attempts = [node.attempts for node in again.nodes if node.state == "succeeded"]
    assert not any(attempts)


def test_a_changed_stage_runs_again_and_so_does_what_needs_it(runner: Runner, tmp_path: Path) -> None:
    marker, lines = tmp_path / "mended", tmp_path / "lines"
    record = runner.run("mendable", marker=str(marker), path=str(lines))
    specification = Specification.read(runner.store, record.id)
    replace(specification, code={**specification.code, "runtime_pipelines.numbers": "other"}).rewrite(
        runner.store
    )
    marker.touch()
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the resumed run is concluded")
    nodes = nodes_of(record_of(runner, record.id, "mendable", marker="", path=""))
    assert nodes["note"].reused
    assert not nodes["numbers"].reused
    assert nodes["numbers"].why == "run: its code has changed since the run was sent"
    assert nodes["note-2[3]"].why == "run: it needs numbers, whose code has changed"
    counts = Counter(lines.read_text().split())
    assert counts["5"] == 2
    assert nodes["add-2"].value == sum(range(70)) + 8


def test_a_message_from_before_a_stage_was_changed_does_not_run_in_the_next_round(
    runner: Runner, start_spare: Callable[[str], Service], tmp_path: Path
) -> None:
    (path := tmp_path / "text").write_text("before")
    run = runner.submit("repeated", path=str(path))
    wait_until(lambda: (run, "repeat") in waiting_nodes(runner.runs.client, ["spare"]), "its message waits")
    cancel(run, store=runner.store, runs=runner.runs)
    specification = Specification.read(runner.store, run)
    replace(specification, code={**specification.code, "runtime_pipelines.read": "other"}).rewrite(
        runner.store
    )
    path.write_text("after")
    send_round(run, store=runner.store, runs=runner.runs)
    worker = start_spare("spare")
    wait_until(lambda: runner.reader.state(run).over, "the resumed run ends", 40)
    node = nodes_of(record_of(runner, run, "repeated", path=""))["repeat"]
    assert (node.value, len(node.attempts)) == ("after", 1)
    assert "outdated" in worker.log.read_text()
