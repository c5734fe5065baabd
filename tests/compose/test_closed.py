"""Who may do what: passwords, roles, and containers that can change little."""

from __future__ import annotations

import pytest

from .stack import Refused, Stack, docker

OURS = ("mlflow", "coordinator", "data-worker", "training-worker", "deployment-worker", "flower")


def redis(stack: Stack, *command: str, user: str, password: str) -> str:
    words = ["redis-cli", "--no-auth-warning", "--user", user, "--pass", password, *command]
    return stack.compose("exec", "-T", "redis", *words, check=False)


def test_redis_refuses_a_wrong_password(stack: Stack):
    assert "WRONGPASS" in redis(stack, "ping", user="worker", password="guessed")


def test_redis_refuses_who_does_not_sign_in(stack: Stack):
    assert "NOAUTH" in stack.compose("exec", "-T", "redis", "redis-cli", "keys", "*", check=False)


@pytest.mark.parametrize("user", ["worker", "coordinator", "flower"])
@pytest.mark.parametrize(
    "command",
    [["flushall"], ["config", "get", "*"], ["acl", "list"], ["shutdown"], ["replicaof", "no", "one"]],
)
def test_no_role_may_flush_or_read_the_configuration(stack: Stack, user: str, command: list[str]):
    password = stack.secrets[f"REDIS_{user.upper()}_PASSWORD"]
    assert "PONG" in redis(stack, "ping", user=user, password=password)
    assert "NOPERM" in redis(stack, *command, user=user, password=password)


def test_the_health_check_s_user_may_only_ping(stack: Stack):
    assert "NOPERM" in redis(stack, "get", "x", user="health", password="none")


def test_flower_may_not_change_a_run(stack: Stack):
    password = stack.secrets["REDIS_FLOWER_PASSWORD"]
    assert "NOPERM" in redis(stack, "del", "orc:runs", user="flower", password=password)
    assert "NOPERM" in redis(stack, "lpush", "data", "a message", user="flower", password=password)


@pytest.mark.parametrize("password", ["", "guessed"])
def test_flower_asks_who_it_is(stack: Stack, password: str):
    with pytest.raises(Refused, match="401"):
        stack.flower("/api/workers", password=password)


@pytest.mark.parametrize("password", ["", "guessed"])
def test_mlflow_asks_who_it_is(stack: Stack, password: str):
    with pytest.raises(Refused, match="401"):
        stack.mlflow("experiments/search?max_results=1", password=password)


def test_mlflow_lets_workers_neither_make_users_nor_change_what_others_made(stack: Stack):
    inside = stack.machines("training-worker")[0]
    code = """
import os, requests
from mlflow import MlflowClient
from mlflow.server.auth.client import AuthServiceClient
from mlflow.exceptions import MlflowException
users = AuthServiceClient(os.environ["MLFLOW_TRACKING_URI"])
for refused in (
    lambda: users.create_user("intruder", "long enough, isn't it"),
    lambda: users.update_user_admin("services", True),
    lambda: MlflowClient().rename_experiment("0", "mine"),
):
    try:
        refused()
    except (MlflowException, requests.HTTPError) as error:
        print(type(error).__name__, "403" in str(error) or "PERMISSION_DENIED" in str(error))
    else:
        print("allowed")
"""
    said = docker("exec", inside, "python", "-W", "ignore", "-c", code).split()
    assert said.count("True") == 3, said
    assert "allowed" not in said


def test_one_build_makes_one_image(stack: Stack):
    images = {stack.inspect(stack.machines(service)[0])["Image"] for service in OURS}
    assert len(images) == 1


def test_a_worker_with_a_wrong_password_says_so_in_one_line(stack: Stack):
    wrong = "REDIS_URL=redis://worker:guessed@redis:6379/0"
    printed = stack.compose("run", "--rm", "--no-deps", "-T", "-e", wrong, "training-worker", check=False)
    assert "password" in printed
    assert "Traceback" not in printed
    assert len([line for line in printed.splitlines() if "edis" in line]) == 1
    assert "guessed" not in printed


def test_only_flower_and_mlflow_are_published_and_on_loopback_alone(stack: Stack):
    published = {}
    for service in (*OURS, "redis", "postgres"):
        ports = stack.inspect(stack.machines(service)[0])["NetworkSettings"]["Ports"] or {}
        bound = [binding["HostIp"] for bindings in ports.values() for binding in bindings or ()]
        if bound:
            published[service] = bound
    assert published == {"mlflow": ["127.0.0.1"], "flower": ["127.0.0.1"]}


@pytest.mark.parametrize("service", OURS)
def test_a_container_can_change_nothing_but_its_volumes(stack: Stack, service: str):
    machine = stack.machines(service)[0]
    host = stack.inspect(machine)["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert docker("exec", machine, "id", "-u").strip() == "10001"
    assert "Read-only" in docker("exec", machine, "sh", "-c", "echo x > /opt/orchestrator/x", check=False)
    effective = docker("exec", machine, "grep", "CapEff", "/proc/1/status")
    assert int(effective.split()[1], 16) == 0


def test_the_image_holds_nothing_to_build_with(stack: Stack):
    machine = stack.machines("coordinator")[0]
    for tool in ("cc", "gcc", "g++", "make", "cmake", "cargo", "git"):
        assert docker("exec", machine, "sh", "-c", f"command -v {tool} || true") == ""
    for python in ("/opt/orchestrator/bin/python", "/usr/local/bin/python"):
        assert "No module named pip" in docker("exec", machine, python, "-m", "pip", check=False)
