"""A store that is pruned while runs go on, and what commands say of a run that is not there any more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.archive.manifest import Manifest, manifest_names
from orchestrator.archive.rounds import latest_number
from orchestrator.archive.run_index import read_index
from orchestrator.archive.tombstone import Tombstone, is_pruned, withdraw_intent
from orchestrator.artifacts import ArtifactStore, holds_all
from orchestrator.coordinator import housekeeping as coordinator
from orchestrator.coordinator.housekeeping import Housekeeping
from orchestrator.lifecycle.prune import prune
from orchestrator.lifecycle.retention import Retention
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.store import RunStore
from tests.harness.cluster import LocalCluster
from tests.harness.stored_runs import NODE, WHEN, complete, run_id
from tests.harness.waiting import wait_until

from .conftest import Run

pytestmark = pytest.mark.stack

MONTH = Retention(older_than=30 * 86_400, why="older than 30d")

SUBMIT = """
import sys
from orchestrator import connect
client = connect()
for number in range(int(sys.argv[1])):
    print(client.submit("relay_listing", gate=sys.argv[2], path=sys.argv[3]).id)
"""


def age(folder: Path, days: float = 100) -> None:
    """Have all files of a folder be written so many days ago."""
    then = time.time() - days * 86_400
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def submit_many(cluster: LocalCluster, count: int, gate: Path, lines: Path) -> list[RunId]:
    command = [sys.executable, "-c", SUBMIT, str(count), str(gate), str(lines)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=cluster.shell.environment, check=True, timeout=60
    )
    return [RunId(line) for line in done.stdout.split()]


@contextmanager
def pruned_again_and_again(cluster: LocalCluster, runs: RunStore) -> Iterator[set[RunId]]:
    """Prune ten runs at a time, and all blobs that may go, for as long as the block runs."""
    stop, gone = threading.Event(), set[RunId]()

    def loop() -> None:
        while not stop.is_set():
            gone.update(prune(cluster.store, MONTH, [runs], now=time.time(), most=10).runs)

    with ThreadPoolExecutor(1) as threads:
        pruning = threads.submit(loop)
        try:
            yield gone
        finally:
            stop.set()
            pruning.result()


@pytest.fixture
def runs(shared_cluster: LocalCluster) -> RunStore:
    return RunStore(shared_cluster.reader.client)


def test_twenty_runs_go_on_while_two_hundred_old_ones_are_pruned(
    shared_cluster: LocalCluster, runs: RunStore, tmp_path: Path
) -> None:
    cluster, store, gate, lines = shared_cluster, shared_cluster.store, tmp_path / "gate", tmp_path / "lines"
    (tmp_path / "open").touch()
    first = Run.finish(cluster, "relay_listing", gate=tmp_path / "open", path=lines)
    kept = Run.finish(cluster, "kept", path=lines)
    old = {complete(store, run_id(number), fit=f"model {number}") for number in range(200)}
    young = complete(store, run_id(1000), fit="model 7")
    age(Path(store.url))
    os.utime(Path(store.url) / "runs" / young / "record.json")

    going = submit_many(cluster, 20, gate, lines)
    with pruned_again_and_again(cluster, runs) as gone:
        gate.touch()
        again = [Run.finish(cluster, "kept", path=lines) for _ in range(2)]
        for run in going:
            cluster.wait_until_concluded(run, 60)
        wait_until(lambda: gone >= old, "all old ones are gone")

    assert gone == {*old, first.id, kept.id}
    assert {cluster.record(run).state for run in going} == {"succeeded"}
    assert {run.record.state for run in again} == {"succeeded"}
    for run in [*going, *(each.id for each in again), young]:
        for name in manifest_names(store, run):
            manifest = Manifest.read(store, run, name)
            assert manifest is not None
            assert holds_all(manifest.output, store), (run, name)
    assert not [name for run in old for name in store.keys(f"runs/{run}")]
    left = {store.get(blob.digest) for blob in store.blobs()}
    assert {each for each in left if each.startswith(b"model")} == {b"model 7"}


def test_a_run_that_goes_on_stays_however_old_it_looks(
    shared_cluster: LocalCluster, runs: RunStore, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = Run.submit(shared_cluster, "relay_listing", gate=gate, path=tmp_path / "lines")
    run.wait_for("listing", "succeeded")
    age(Path(shared_cluster.store.url))
    assert run.id not in prune(shared_cluster.store, MONTH, [runs], now=time.time()).runs
    assert not runs.forget(run.id)
    assert holds_all(run.output("listing") or {}, shared_cluster.store)
    gate.touch()
    run.wait_for_end()
    assert run.record.state == "succeeded"


def test_a_run_that_redis_has_open_stays_whatever_the_store_says(runs: RunStore, tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    run = complete(store, run_id(1))
    age(Path(store.url))
    runs.submit(run, pipeline="churn", parameters={}, needs={NODE.name: 0}, maps={}, submitted=time.time())
    assert not prune(store, MONTH, [runs], now=time.time(), dry_run=True).runs
    assert not prune(store, MONTH, [runs], now=time.time()).runs
    runs.client.delete(*RunKeys(run).all())
    assert list(prune(store, MONTH, [runs], now=time.time()).runs) == [run]


def test_a_pruned_run_is_gone_from_redis_and_every_command_says_so(
    shared_cluster: LocalCluster, tmp_path: Path
) -> None:
    shell = shared_cluster.shell
    (tmp_path / "gate").touch()
    run = Run.finish(shared_cluster, "heavy", gate=tmp_path / "gate", size=300_000)
    age(run.file(""))
    age(Path(shared_cluster.store.url) / "blobs")
    told = shell.succeed("prune", "--older-than", "90d", "--dry-run", "--json").last_json
    assert run.id in {each["id"] for each in told["runs"]}
    assert told["blobs"]["bytes"] >= 300_000
    done = shell.succeed("prune", "--older-than", "90d", "--json").last_json
    assert done == {**told, "dry_run": False}
    assert not shared_cluster.reader.knows(run.id)
    for words in (["show"], ["logs"], ["output"], ["resume"], ["cancel"]):
        said = shell(*words, run.id)
        assert (said.status, said.out) == (2, "")
        message, hint = said.err.splitlines()
        assert message.startswith(f"UnknownRun: run '{run.id}' was pruned on 20")
        assert message.endswith(" (older than 90d)")
        assert hint == "hint: what MLflow has of it is still there"
    assert run.id not in shell.succeed("runs", "--json").out
    shared_cluster.store.put(b"of an attempt that is not over")
    told = shell.succeed("prune", "--older-than", "90d").out.splitlines()
    assert told[0] == "removed 0 runs and 0 blobs: 0 B"
    assert re.fullmatch(r"kept for now: \d+ blobs? \(.*B\) that nothing refers to, but .*", told[1])


def test_a_run_cannot_be_resumed_while_it_is_being_pruned(
    shared_cluster: LocalCluster, runs: RunStore, tmp_path: Path
) -> None:
    run = Run.submit(shared_cluster, "heavy", gate=tmp_path / "gate")
    run.wait_for("until", "running")
    shared_cluster.shell.succeed("cancel", run.id)
    run.wait_for_end()
    Tombstone(run=run.id, pipeline="heavy", pruned=WHEN, why="a test").intend(run.store)
    said = shared_cluster.shell("resume", run.id)
    assert (said.status, said.out) == (2, "")
    assert said.err.splitlines()[0] == f"RoundTaken: run '{run.id}' is just being pruned"
    assert latest_number(run.store, run.id) == 0
    assert shared_cluster.reader.state(run.id) == "cancelled"
    withdraw_intent(run.store, run.id)
    (tmp_path / "gate").touch()
    run.resume()
    assert run.record.state == "succeeded"


def test_a_coordinator_prunes_from_time_to_time(
    runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "MOST", 2)
    store, now = ArtifactStore(str(tmp_path / "store")), 0.0
    old = [complete(store, run_id(number)) for number in range(3)]
    age(Path(store.url))
    housekeeping = Housekeeping(runs, lambda: store, 30, clock=lambda: now)
    housekeeping.begin_if_due()
    assert not any(is_pruned(store, run) for run in old), "a coordinator that has just started prunes nothing"
    now = coordinator.FIRST
    housekeeping.begin_if_due()
    wait_until(lambda: is_pruned(store, old[1]), "the first two are gone")
    housekeeping.stop()
    assert set(read_index(store)) == {old[2]}
    housekeeping = Housekeeping(runs, lambda: store, 30, clock=lambda: now)
    now += coordinator.FIRST
    housekeeping.begin_if_due()
    wait_until(lambda: is_pruned(store, old[2]), "the third one follows")
    housekeeping.stop()
