"""Services that workers reach over HTTP: an object store that speaks S3, and MLflow's own server."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.stack.ports import LOOPBACK, reserve_port
from orchestrator.tracking_address import local_artifact_root, local_tracking_uri
from tests.harness.services import Service, start
from tests.harness.waiting import holds

from .proxy import Proxy

BUCKET = "artifacts"


class ObjectStore:
    """An S3 store in memory, with conditional puts as the real one has them, and the network before it."""

    def __init__(self, logs: Path) -> None:
        self._ports = [reserve_port(18700) for _ in range(2)]  # from other suites too, as long as it lives
        self._port, behind = (port.number for port in self._ports)
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(behind)]
        self._service = start(command, logs / "object-store.log", {}, group=True)
        _expect(self._service, lambda: _answers("PUT", behind, f"/{BUCKET}"))
        self.network = Proxy(self._port, behind)

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process needs to know to use it."""
        return {
            "ORCHESTRATOR_STORE": f"s3://{BUCKET}/store",
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self._port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
        }

    def stop(self) -> None:
        """End it, and the network with it."""
        self.network.stop()
        _kill(self._service)
        for port in self._ports:
            port.release()


class TrackingServer:
    """MLflow's server, on the SQLite file that is used without it."""

    def __init__(self, home: Path, logs: Path) -> None:
        self._home, self._logs = home, logs
        self._reserved = reserve_port(18900)  # while it is killed, too: no other suite's may come back as it
        self._port = self._reserved.number
        self._service = self._start()
        _expect(self._service, self.answers)

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process needs to know to use it."""
        return {"MLFLOW_TRACKING_URI": f"http://{LOOPBACK}:{self._port}"}

    def answers(self) -> bool:
        """Whether it is there."""
        return _answers("GET", self._port, "/health")

    def kill(self) -> None:
        """End it without a word."""
        _kill(self._service)

    def start_again(self) -> None:
        """Start it on the same file; it takes seconds until it answers."""
        self._service = self._start()

    def stop(self) -> None:
        """End it."""
        _kill(self._service)
        self._reserved.release()

    def _start(self) -> Service:
        command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(self._port)]
        command += ["--backend-store-uri", local_tracking_uri(self._home), "--workers", "1"]
        command += ["--default-artifact-root", local_artifact_root(self._home), "--no-serve-artifacts"]
        variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return start(command, self._logs / "mlflow.log", variables, group=True)


def _expect(service: Service, condition: Callable[[], bool]) -> None:
    if not holds(condition, 60):
        raise RuntimeError(f"it did not start: see {service.log}")


def _answers(method: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2.0)
    try:
        connection.request(method, path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _kill(service: Service) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
