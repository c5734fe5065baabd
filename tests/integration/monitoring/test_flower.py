"""Flower as the Compose stack starts it: what it lists, what it keeps, and whom it asks for a password."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.harness.cluster import LocalCluster
from tests.harness.flower import Flower, fetch
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.slow


def all_listed(flower: Flower, run: str) -> bool:
    """Whether it has heard of the run's last message, and of the end of all before it."""
    states = {task.name: task.state for task in flower.tasks().values() if run in task.kwargs}
    return "orchestrator.conclude" in states and {"SUCCESS", "FAILURE"}.issuperset(states.values())


def test_tasks_are_listed_by_stage_with_their_run_and_node(
    flower: Flower, fail_a_run: Callable[[], str]
) -> None:
    run = fail_a_run()
    wait_until(lambda: all_listed(flower, run), "Flower has heard of the run")
    listed = {task.name: task for task in flower.tasks().values() if run in task.kwargs}
    assert {name: task.state for name, task in listed.items() if name.startswith("monitored_stages.")} == {
        "monitored_stages.succeed": "SUCCESS",
        "monitored_stages.fail_after_retry": "FAILURE",
        "monitored_stages.fail_at_once": "FAILURE",
    }
    assert "'node': 'succeed'" in listed["monitored_stages.succeed"].kwargs
    assert listed["monitored_stages.succeed"].worker == "data@test"


def test_pages_say_which_node_of_which_run_a_task_is_about(
    flower: Flower, fail_a_run: Callable[[], str]
) -> None:
    run = fail_a_run()
    wait_until(lambda: all_listed(flower, run), "Flower has heard of the run")
    identity = next(
        identity
        for identity, task in flower.tasks().items()
        if run in task.kwargs and task.name == "monitored_stages.succeed"
    )
    assert f"succeed of {run}".encode() in fetch(f"{flower.url}/task/{identity}", signed_in=True)


def test_a_running_task_says_how_far_it_has_come(
    cluster: LocalCluster, flower: Flower, tmp_path: Path
) -> None:
    run = cluster.submit("looping", file=str(tmp_path / "go"))

    def page() -> str:
        found = [name for name, task in flower.tasks().items() if run in task.kwargs]
        return fetch(f"{flower.url}/task/{found[0]}", signed_in=True).decode() if found else ""

    wait_until(lambda: "PROGRESS" in page() and "<code>1/3</code>" in page(), "Flower shows it")
    (tmp_path / "go").touch()
    wait_until(lambda: all_listed(flower, run), "Flower has heard of the end")
    assert "PROGRESS" not in page()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_tasks_are_still_listed_by_the_next_flower(
    flower: Flower, fail_a_run: Callable[[], str], number: signal.Signals
) -> None:
    run = fail_a_run()
    wait_until(lambda: all_listed(flower, run), "Flower has heard of the run")
    before = flower.tasks()
    if number is signal.SIGKILL:
        heard = time.time()
        wait_until(lambda: flower.saved_since(heard), "Flower has saved what it lists")
    flower.end(number)
    flower.start()
    assert flower.tasks() == before


def test_all_but_the_health_asks_for_the_password(flower: Flower) -> None:
    for path in ("/workers", "/tasks", "/broker", "/api/tasks", "/api/workers", "/metrics"):
        with pytest.raises(HTTPError, match="401"):
            fetch(f"{flower.url}{path}")
        assert fetch(f"{flower.url}{path}", signed_in=True)
    assert b"flower_worker_online" in fetch(f"{flower.url}/metrics", signed_in=True)
    assert fetch(f"{flower.url}/healthcheck") == b"OK"
