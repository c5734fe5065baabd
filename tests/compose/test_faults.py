"""Machines that die, hang, or lose the network in the middle of a run: it completes, nothing is doubled."""

from __future__ import annotations

import pytest

from tests.harness.waiting import holds

from .stack import Stack, breaches, docker

pytestmark = pytest.mark.usefixtures("restored")

FIT = "fit"
SECONDS = 8


def attempts(run: dict, node: str) -> list[dict]:
    return next(each["attempts"] for each in run["nodes"] if each["name"] == node)


def test_a_killed_machine_s_stage_moves_to_another(stack: Stack):
    run = stack.submit("slow_fit", seconds=SECONDS)
    first = stack.machine_at_work(run, FIT)
    docker("kill", first)
    ended = stack.wait_for(run)
    assert breaches(stack, ended) == []
    assert [each["worker"].rpartition("@")[2] == first for each in attempts(ended, FIT)] == [True, False]


def pause(container: str) -> bool:
    """Freeze a container; the engine gives up on one whose processes do not come to a stop in time."""
    said = docker("pause", container, check=False)
    paused = docker("inspect", "-f", "{{.State.Paused}}", container)
    return "unable to freeze" not in said and paused == "true\n"


def test_a_machine_that_hangs_and_comes_back_doubles_nothing(stack: Stack):
    run = stack.submit("slow_fit", seconds=SECONDS)
    first = stack.machine_at_work(run, FIT)
    assert holds(lambda: pause(first), 20), "it cannot be paused"
    try:
        ended = stack.wait_for(run)
    finally:
        docker("unpause", first)
    assert attempts(ended, FIT)[-1]["worker"] != f"training@{first}"
    assert holds(lambda: stack.is_healthy(first), 60), "it does not come back"
    assert breaches(stack, stack.show(run)) == []


def test_a_machine_without_a_network_loses_its_stage_and_returns(stack: Stack):
    network = f"{stack.project}_default"
    run = stack.submit("slow_fit", seconds=SECONDS)
    first = stack.machine_at_work(run, FIT)
    docker("network", "disconnect", network, first)
    try:
        ended = stack.wait_for(run)
    finally:
        docker("network", "connect", network, first)
    assert attempts(ended, FIT)[-1]["worker"] != f"training@{first}"
    assert holds(lambda: stack.is_healthy(first), 90), "it does not come back"
    assert breaches(stack, stack.show(run)) == []


def test_a_redis_that_is_started_again_loses_nothing(stack: Stack):
    run = stack.submit("naps", count=6, seconds=10)
    stack.machine_at_work(run, "nap[0]")
    stack.compose("restart", "redis")
    assert breaches(stack, stack.wait_for(run)) == []


def test_a_killed_redis_loses_nothing(stack: Stack):
    run = stack.submit("naps", count=6, seconds=10)
    stack.machine_at_work(run, "nap[0]")
    stack.compose("kill", "redis")
    stack.compose("start", "redis")
    assert breaches(stack, stack.wait_for(run)) == []


def test_scaling_down_and_up_in_a_fan_out_loses_nothing(stack: Stack):
    run = stack.submit("naps", count=16, seconds=8)
    stack.machine_at_work(run, "nap[0]")
    stack.scale(1)
    assert len(stack.machines("training-worker")) == 1
    stack.scale(4)
    ended = stack.wait_for(run)
    assert breaches(stack, ended) == []
    assert {len(each["attempts"]) for each in ended["nodes"]} == {1}, "a stage was not let finish"
    machines = {each["attempts"][0]["worker"] for each in ended["nodes"] if each["name"].startswith("nap[")}
    assert len(machines) > 3, f"only {machines} worked"
