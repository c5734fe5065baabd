"""MLflow's database, and the web pages of a stack that is up: Flower and MLflow's server, on loopback."""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.stack.environment import PROJECT
from orchestrator.stack.errors import PortTaken, StackFailed
from orchestrator.stack.ports import LOOPBACK
from orchestrator.stack.process import Process
from orchestrator.tracking_address import MLFLOW_FILE, local_artifact_root, local_tracking_uri

FLOWER_PORT = 5555
MLFLOW_PORT = 5000
FLOWER_CONFIGURATION = PROJECT / "workers" / "flowerconfig.py"

_POLL = 0.1


@dataclass(frozen=True)
class Service:
    """A part that answers over HTTP once it is healthy."""

    process: Process
    url: str
    port: int
    health: str  #: the path that answers 200


def start_creating_database(home: Path, *, log: Path, environment: Mapping[str, str]) -> Process | None:
    """Create MLflow's database in the background; None if it exists, or another process is creating it.

    The lock is taken here, before that process exists, and inherited by it. The workers' tracking waits for
    the same lock before it opens the file.
    """
    if (home / MLFLOW_FILE).exists():
        return None
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{MLFLOW_FILE}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        command = [sys.executable, "-m", "workers.tracking_maker", str(home)]
        return Process.start(
            "MLflow's database", command, log=log, environment=environment, pass_fds=(lock.fileno(),)
        )


def wait_for_database(creating: Process, seconds: float) -> None:
    """Return when the database has been created; raises StackFailed if it could not be."""
    if not creating.wait(seconds):
        raise creating.failure(f"was not made within {seconds:.0f} s")
    if creating.exit_status != 0:
        raise creating.failure("could not be made")


def mlflow_url(port: int) -> str:
    """The address of the MLflow server, known before it is started."""
    return f"http://{LOOPBACK}:{port}"


def start_mlflow(*, home: Path, port: int, log: Path, environment: Mapping[str, str]) -> Service:
    """Start the MLflow server on the database of `home`.

    It does not stand between the workers and the artifacts: with and without it they are written to the same
    folder, so that a run made without the server shows its files in it, and the other way round.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(port)]
    command += [
        "--backend-store-uri",
        local_tracking_uri(home),
        "--default-artifact-root",
        local_artifact_root(home),
    ]
    command += ["--no-serve-artifacts", "--workers", "1"]
    settings = {**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = Process.start("mlflow server", command, log=log, environment=settings)
    return Service(process, mlflow_url(port), port, "/health")


def start_flower(*, home: Path, port: int, log: Path, environment: Mapping[str, str]) -> Service:
    """Start Flower, which remembers tasks across restarts."""
    command = [sys.executable, "-m", "celery", "-A", "workers", "flower"]
    command += [f"--address={LOOPBACK}", f"--port={port}", f"--conf={FLOWER_CONFIGURATION}"]
    command += [f"--db={home / 'flower.db'}", "--state_save_interval=60000"]
    process = Process.start("flower", command, log=log, environment=environment)
    return Service(process, f"http://{LOOPBACK}:{port}", port, "/healthcheck")


def wait_until_healthy(services: Sequence[Service], seconds: float) -> None:
    """Return when all answer; raises StackFailed, with the end of its log, for one that does not.

    PortTaken says that another program was quicker to listen on its port.
    """
    deadline = time.monotonic() + seconds
    waiting = list(services)
    while waiting:
        for service in waiting:
            if service.process.exit_status is not None:
                raise _failure_of(service)
        waiting = [service for service in waiting if not is_healthy(service)]
        if waiting and time.monotonic() > deadline:
            raise waiting[0].process.failure(f"did not answer on {waiting[0].url} within {seconds:.0f} s")
        if waiting:
            time.sleep(_POLL)


def _failure_of(service: Service) -> StackFailed:
    if os.strerror(errno.EADDRINUSE).lower() in service.process.last_lines().lower():
        return PortTaken(f"port {service.port} was taken while {service.process.name} was started")
    return service.process.failure(f"ended with exit status {service.process.exit_status} as it was started")


def is_healthy(service: Service) -> bool:
    """Whether it answers with 200 now."""
    return _answers(service, service.health)


def refresh_flower(flower: Service) -> None:
    """Make Flower ask the workers for their queues; by itself it asks once, of those that are up by then."""
    _answers(flower, "/workers?refresh=1")


def _answers(service: Service, path: str) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, service.port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
