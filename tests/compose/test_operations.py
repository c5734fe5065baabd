"""What docs/operations.md tells people to type: back up and restore, rotate secrets, work elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.harness.waiting import holds

from .stack import ROOT, Refused, Stack, breaches, docker

pytestmark = pytest.mark.usefixtures("restored")

PAGE = ROOT / "docs" / "operations.md"


def commands_under(heading: str) -> list[str]:
    """The blocks of a section that are for a shell, each as one script."""
    section = PAGE.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```shell\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


def type_in(stack: Stack, script: str, folder: Path = ROOT) -> None:
    """Run it as somebody would whose checkout is this one and whose `.env` is the stack's."""
    variables = {
        "COMPOSE_PROJECT_NAME": stack.project,
        "COMPOSE_ENV_FILES": str(stack.env_file),
        "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_a_backup_brings_back_runs_and_models_and_lets_runs_be_resumed(stack: Stack, tmp_path: Path):
    run = stack.wait_for(stack.submit("slow_fit", seconds=0.1))
    half = stack.submit("naps", count=30, seconds=2)
    assert holds(lambda: [node for node in stack.show(half)["nodes"] if node["state"] == "succeeded"][1:], 30)
    stack.orchestrator("cancel", half)
    files = stack.compose("exec", "-T", "mlflow", "find", "/mlartifacts", "-type", "f")
    assert files
    back_up, restore = commands_under("Back up, restore")
    type_in(stack, back_up, tmp_path)

    stack.down()  # with all volumes
    stack.up(training=3)
    assert "no run" in stack.orchestrator("show", run["id"], check=False)
    type_in(stack, restore, tmp_path)

    assert breaches(stack, stack.show(run["id"])) == []
    brought_back = stack.compose("exec", "-T", "mlflow", "find", "/mlartifacts", "-type", "f")
    assert set(brought_back.split()) >= set(files.split())
    stack.orchestrator("resume", half)
    carried_on = stack.wait_for(half)
    assert breaches(stack, carried_on) == []
    assert len([node for node in carried_on["nodes"] if node["reused"]]) >= 2


def test_rotated_secrets_shut_out_the_old_ones_while_a_run_goes_on(stack: Stack):
    old = dict(stack.secrets)
    run = stack.submit("naps", count=6, seconds=10)
    stack.machine_at_work(run, "nap[0]")

    command, _ = commands_under("Rotate secrets")
    type_in(stack, command)

    stack.read_secrets()
    assert all(stack.secrets[name] != value for name, value in old.items() if name.endswith("PASSWORD"))
    ended = stack.wait_for(run)
    assert breaches(stack, ended) == []
    assert {len(node["attempts"]) for node in ended["nodes"]} == {1}, "a stage was not let finish"
    with pytest.raises(Refused, match="401"):
        stack.flower("/api/workers", password=old["FLOWER_PASSWORD"])
    with pytest.raises(Refused, match="401"):
        stack.mlflow("experiments/search?max_results=1", password=old["MLFLOW_PASSWORD"])
    signed_in = stack.compose(
        "exec", "-T", "redis", "redis-cli", "--no-auth-warning", "--user", "worker",
        "--pass", old["REDIS_WORKER_PASSWORD"], "ping", check=False,
    )  # fmt: skip
    assert "WRONGPASS" in signed_in


@pytest.fixture
def machine_elsewhere(stack: Stack) -> Iterator[str]:
    """A training worker outside of the stack's networks, which knows three addresses and no more."""
    subnet = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}").strip()
    gateway = str(next(ip_network(subnet).hosts()))  # an engine that was just installed does not name it
    stack.open(gateway)
    address = f"{gateway}:{stack.settings['REDIS_PORT']}"
    variables = {
        "REDIS_URL": f"redis://worker:{stack.secrets['REDIS_WORKER_PASSWORD']}@{address}/0",
        "MLFLOW_TRACKING_URI": f"http://{gateway}:{stack.settings['MLFLOW_PORT']}",
        "MLFLOW_TRACKING_USERNAME": "services",
        "MLFLOW_TRACKING_PASSWORD": stack.secrets["MLFLOW_SERVICES_PASSWORD"],
        "ORCHESTRATOR_PIPELINES": stack.settings["ORCHESTRATOR_PIPELINES"],
    }
    (stack.folder / "worker.env").write_text(
        "".join(f"{name}={value}\n" for name, value in variables.items())
    )
    machine = docker(
        "run", "--detach", "--init", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",  # noqa: S108
        "--env-file", str(stack.folder / "worker.env"), "--volume", f"{stack.project}_artifacts:/artifacts",
        "--volume", f"{stack.settings['PIPELINES_FOLDER']}:/pipelines:ro", "--cpus", "1", "--memory", "1g",
        stack.settings["ORCHESTRATOR_IMAGE"], "orchestrator", "worker", "training", "--slots", "1",
    )[:12]  # fmt: skip
    try:
        yield machine
        print(docker("logs", machine, check=False))
    finally:
        docker("rm", "--force", machine)
        stack.compose("up", "--detach", "--wait")  # closed again


def test_a_worker_on_another_host_takes_part(stack: Stack, machine_elsewhere: str):
    stack.scale(0)
    assert holds(lambda: f"training@{machine_elsewhere}" in stack.flower("/api/workers?refresh=1"), 60)
    ended = stack.wait_for(stack.submit("slow_fit", seconds=0.1))
    assert breaches(stack, ended) == []
    assert {
        each["worker"] for node in ended["nodes"] if node["name"] == "fit" for each in node["attempts"]
    } == {f"training@{machine_elsewhere}"}
