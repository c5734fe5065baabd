"""The same stack with its artifacts in S3: a server that speaks its protocol stands in for the real one."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from orchestrator.stack.ports import free_port
from tests.harness.waiting import holds

from .stack import Stack, breaches, docker

pytestmark = pytest.mark.usefixtures("restored")

BUCKET = "artifacts"


@pytest.fixture
def object_store(stack: Stack) -> Iterator[str]:
    """The URL of an S3 server with one bucket, on the address that this host has for its containers alone."""
    gateway = docker("network", "inspect", f"{stack.project}_default", "--format",
                     "{{(index .IPAM.Config 0).Gateway}}").strip()  # fmt: skip
    url = f"http://{gateway}:{(port := free_port(15900))}"
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", gateway, "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        assert holds(lambda: answers(url), 30)
        make = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
        urllib.request.urlopen(make, timeout=10).close()
        yield url
    finally:
        server.terminate()
        server.wait(10)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/moto-api/", timeout=2).close()
    except OSError:
        return False
    return True


def test_artifacts_go_to_s3_by_one_setting(stack: Stack, object_store: str):
    stack.change(
        ORCHESTRATOR_STORE=f"s3://{BUCKET}/team",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=object_store,
        AWS_ALLOW_HTTP="true",
    )
    stack.write_secrets()
    try:
        stack.compose("up", "--detach", "--wait")
        run = stack.wait_for(stack.submit("slow_fit", seconds=0.1))
        assert breaches(stack, run) == []
        with urllib.request.urlopen(f"{object_store}/{BUCKET}?list-type=2&prefix=team/", timeout=10) as reply:
            listed = reply.read().decode()
        assert run["id"] in listed
        assert run["id"] not in stack.compose("exec", "-T", "coordinator", "find", "/artifacts")
    finally:
        stack.change(ORCHESTRATOR_STORE="/artifacts")
        stack.compose("up", "--detach", "--wait")
