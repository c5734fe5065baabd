"""Processes of a test's own: any service, and plain Celery workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .processes import all_processes, leads_group, of_session
from .waiting import wait_until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """A process of the test's own."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """Have it end, as a user would."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """End it at once with whatever it has started, if it still runs. It leads a session."""
        if self.process.poll() is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """Signal it and whatever it has started, as a machine that loses power. It leads a session."""
        for process in sorted(of_session(self.process.pid), key=self.process.pid.__ne__):  # itself first
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def pool(self) -> list[int]:
        """The processes of a worker's pool, each of which leads a process group."""
        session = os.getsid(self.process.pid)
        return [
            process
            for process, parent, its in all_processes()
            if (parent, its) == (self.process.pid, session) and leads_group(process)
        ]


def start(command: list[str], log: Path, environment: Mapping[str, str], *, group: bool = False) -> Service:
    """Start a process whose output goes to a file; with `group`, it leads a session and a process group."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=group,
        )
    return Service(process, log)


def worker_environment(
    redis_url: str, home: Path, pipelines: str, folder: Path, **variables: str
) -> dict[str, str]:
    """What a worker needs to know to run the pipelines of some modules in a folder."""
    return {
        "REDIS_URL": redis_url,
        "ORCHESTRATOR_HOME": str(home),
        "ORCHESTRATOR_PIPELINES": pipelines,
        "PYTHONPATH": f"{folder}:{ROOT}",
        **variables,
    }


def start_worker(
    environment: Mapping[str, str], log: Path, *, name: str, slots: int, queues: str, group: bool = False
) -> Service:
    """Start a plain Celery worker, as a user would."""
    command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queues, "-c", str(slots)]
    options = ["-n", f"{name}@test", "-l", "INFO", "--without-gossip", "--without-mingle"]
    return start([*command, *options], log, environment, group=group)


def is_ready(service: Service) -> bool:
    """Whether a worker takes messages by now."""
    assert service.process.poll() is None, service.log.read_text()
    return "ready." in service.log.read_text()


def wait_until_ready(*workers: Service) -> None:
    """Return as soon as all of these workers take messages."""
    names = ", ".join(worker.log.stem for worker in workers)
    wait_until(lambda: all(map(is_ready, workers)), f"{names}: the workers are ready")


def knows_of_its_lost_lease(log: Path) -> bool:
    """Whether a worker has noticed: its stage, which has returned, or its heartbeat, which ends the stage."""
    told = log.read_text()
    return "its lease was lost" in told or "is ended: it was taken over" in told
