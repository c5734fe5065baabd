"""The end of a run that is written down: once, by whoever comes, and the latest end stands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from orchestrator.archive.run_record import read_final, unconcluded_runs, write_final
from orchestrator.coordinator.service import supervisor_of
from orchestrator.lifecycle.ending import cancel, queue_with_mlflow
from orchestrator.lifecycle.resume import send_round
from orchestrator.runs.keys import RunKeys
from orchestrator.settings import settings
from tests.harness.runner import Runner
from tests.harness.waiting import wait_until
from workers.runtime.conclude import conclude
from workers.runtime.dispatch import conclude_again
from workers.runtime.resources import WorkerResources
from workers.tracking import MlflowTracking

pytestmark = pytest.mark.stack


class Pause:
    """Somebody is paused at a call, until he is woken."""

    def __init__(self) -> None:
        self.reached, self.woken = threading.Event(), threading.Event()

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def paused(*arguments: Any, **named: Any) -> Any:
            if not self.reached.is_set():
                self.reached.set()
                assert self.woken.wait(60)
            return call(*arguments, **named)

        return paused


@pytest.fixture
def resources(runner: Runner) -> WorkerResources:
    """What a worker process of the test's own works with."""
    resources = WorkerResources(settings(), runner.runs)
    assert isinstance(resources.tracking, MlflowTracking)
    return resources


@pytest.mark.parametrize("where", ["before MLflow", "in the middle of MLflow", "before the record"])
def test_a_conclusion_that_was_paused_across_a_resume_does_not_write_the_old_failure_last(
    runner: Runner, resources: WorkerResources, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = runner.run("told", marker=str(tmp_path / "mended"))
    pause = Pause()
    if where == "before MLflow":
        resources.tracking.conclude = pause.before(resources.tracking.conclude)  # type: ignore[method-assign]
    elif where == "in the middle of MLflow":
        client = resources.tracking._open()
        monkeypatch.setattr(client, "set_terminated", pause.before(client.set_terminated))
    else:
        monkeypatch.setattr(resources.store, "write", pause.before(resources.store.write))
    paused = threading.Thread(target=conclude, args=(failed.id, resources))
    paused.start()
    assert pause.reached.wait(30)
    (tmp_path / "mended").touch()
    send_round(failed.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(failed.id), "the second round is concluded")
    pause.woken.set()
    paused.join(60)
    run = MlflowClient(settings().tracking_uri).get_run(str(failed.mlflow_run_id))
    assert run.info.status == "FINISHED"
    assert run.data.tags["orchestrator.state"] == "succeeded"
    final = read_final(runner.store, failed.id)
    assert final is not None
    assert final[0].state == "succeeded"
    assert failed.id not in unconcluded_runs(runner.store)


def test_a_run_that_only_the_store_knows_as_unconcluded_is_concluded(runner: Runner, redis_url: str) -> None:
    record = runner.run("line", length=2)
    write_final(runner.store, record, {})
    for key in runner.runs.client.scan_iter(f"orc:{{{record.id}}}:*"):
        runner.runs.client.delete(key)
    assert record.id in unconcluded_runs(runner.store)
    supervisor_of(settings(), redis_url).check_runs()
    wait_until(lambda: record.id not in unconcluded_runs(runner.store), "the run is concluded")
    final = read_final(runner.store, record.id)
    assert final is not None
    assert final[0].mlflow_run_id == record.mlflow_run_id
    memory = RunKeys(record.id).memory
    wait_until(lambda: runner.runs.client.ttl(memory) != -1, "what Redis keeps of it has an end")


def test_a_conclusion_goes_to_a_queue_that_somebody_serves(runner: Runner) -> None:
    client = runner.runs.client
    assert queue_with_mlflow(client, {"data", "training"}) == "training"
    assert queue_with_mlflow(client, {"data", "spare"}) == "data"
    assert queue_with_mlflow(client, {"spare"}) == "training"


def test_a_run_whose_specification_is_lost_is_not_concluded_for_ever(
    runner: Runner, resources: WorkerResources
) -> None:
    run = runner.submit("broken_map_beside_another_queue")
    runner.runs.cancel(run)
    runner.store.remove(f"runs/{run}/specification.json")
    conclude(run, resources)
    assert runner.reader.concluded(run)
    told = runner.reader.summary(run).mlflow_run_id
    assert told is not None
    assert MlflowClient(settings().tracking_uri).get_run(told).info.status == "KILLED"


def test_what_a_process_began_in_mlflow_before_it_was_killed_does_not_stay_running(
    runner: Runner, resources: WorkerResources
) -> None:
    run = runner.submit("broken_map_beside_another_queue")
    cancel(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    client = MlflowClient(settings().tracking_uri)
    experiment = client.get_experiment_by_name("broken_map_beside_another_queue").experiment_id
    tags = {"orchestrator.run": run, "orchestrator.node": "late"}
    begun = client.create_run(experiment, tags=tags).info.run_id
    conclude_again(run, "data", resources)
    wait_until(lambda: client.get_run(begun).info.status == "KILLED", "what was begun has ended")
