"""A pipeline over many machines: run, watched in Flower, found in MLflow."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.waiting import holds

from .stack import Stack, breaches


def test_digits_runs_over_all_training_workers_to_a_registered_model(stack: Stack):
    printed = stack.orchestrator("run", "digits", "--json")
    run = json.loads(printed.splitlines()[-1])
    assert breaches(stack, run) == []
    busy = {task["worker"] for task in stack.tasks() if run["id"] in str(task["kwargs"])}
    wanted = {f"training@{machine}" for machine in stack.machines("training-worker")}
    assert len(wanted) == 3
    assert wanted <= busy, f"Flower saw only {busy} at work"
    alias = stack.mlflow("registered-models/alias?name=digits&alias=champion")
    assert alias["model_version"]["version"] == "1"


def test_progress_is_shown_live_inside_a_container(stack: Stack):
    printed = stack.orchestrator("run", "naps", "-p", "count=3", "-p", "seconds=0.1")
    assert "total" in printed
    assert f"http://localhost:{stack.settings['MLFLOW_PORT']}/#/runs/" in printed


def test_flower_shows_which_run_and_node_a_task_belongs_to(stack: Stack):
    run = stack.wait_for(stack.submit("naps", count=2, seconds=0.1))
    task = next(task for task in stack.tasks("trials.count_off") if run["id"] in task["kwargs"])
    assert "'node': 'count_off'" in task["kwargs"]
    assert task["state"] == "SUCCESS"


def test_flower_shows_the_workers_by_queue(stack: Stack):
    workers: dict[str, Any] = {}

    def all_answer() -> bool:
        """Flower asks them for a second, which is short for a busy machine."""
        workers.update(stack.flower("/api/workers?refresh=1"))
        return {name.partition("@")[0] for name in workers} == {"data", "training", "deployment"}

    assert holds(all_answer, 30), f"Flower shows only {sorted(workers)}"
    for name, worker in workers.items():
        assert [queue["name"] for queue in worker["active_queues"]] == [name.partition("@")[0]]


def test_flower_keeps_its_history_when_it_is_started_again(stack: Stack):
    run = stack.wait_for(stack.submit("naps", count=2, seconds=0.1))
    before = {task["uuid"] for task in stack.tasks() if run["id"] in str(task["kwargs"])}
    stack.compose("restart", "flower")
    stack.up(training=3)
    assert before <= {task["uuid"] for task in stack.tasks()}


def test_processes_times_threads_are_the_cores_of_a_machine(stack: Stack):
    run = stack.wait_for(stack.submit("look_around"))
    assert run["nodes"][0]["value"] == dict.fromkeys(run["nodes"][0]["value"], "1")


def test_the_stack_keeps_its_runs_models_and_history_when_it_is_taken_down(stack: Stack):
    run = stack.wait_for(stack.submit("slow_fit", seconds=0.1))
    stack.compose("down", "--timeout", "25")
    stack.up(training=3)
    assert breaches(stack, stack.show(run["id"])) == []
    assert [task for task in stack.tasks("trials.fit") if run["id"] in task["kwargs"]]
    assert stack.wait_for(stack.submit("naps", count=2, seconds=0.1))["state"] == "succeeded"
