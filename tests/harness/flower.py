"""Flower as docker-compose.yml starts it, as a process of the test's own."""

from __future__ import annotations

import json
import signal
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import yaml

from orchestrator.stack.ports import LOOPBACK, free_port

from .services import ROOT, Service, start
from .waiting import wait_until

USER, PASSWORD = "admin", "of the tests"

#: Milliseconds between two savings of what Flower knows; the stack has it wait longer.
SAVE_INTERVAL = 1000


def fetch(url: str, *, signed_in: bool = False) -> bytes:
    """A page of a service of ours; raises HTTPError for a status that is not 200."""
    credentials = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = Request(url, headers={"Authorization": f"Basic {credentials}"} if signed_in else {})
    with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
        return bytes(answer.read())


def answers(url: str) -> bool:
    """Whether a page is there."""
    try:
        fetch(url)
    except (HTTPError, URLError, OSError):
        return False
    return True


class Task(NamedTuple):
    """What Flower lists of a task."""

    name: str
    kwargs: str
    state: str
    worker: str
    received: float
    runtime: float | None


@dataclass
class Flower:
    """A Flower with a port and a file of its own, which can be stopped and started again."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=lambda: free_port(5655))
    service: Service | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def kept(self) -> Path:
        """Where it saves what it knows."""
        return self.folder / "kept"

    def start(self) -> None:
        self.kept.mkdir(exist_ok=True)
        stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        command = stack["services"]["flower"]["command"]
        assert command[0] == "celery"
        own = [f"--address={LOOPBACK}", f"--port={self.port}", f"--db={self.kept / 'flower'}"]
        own += [f"--state_save_interval={SAVE_INTERVAL}", f"--conf={ROOT / 'workers' / 'flowerconfig.py'}"]
        program = [sys.executable, "-m", *command, *own]  # what is given twice is as it was given last
        self.service = start(program, self.folder / "flower.log", self.environment)
        wait_until(lambda: answers(f"{self.url}/healthcheck"), "Flower answers")

    def end(self, number: signal.Signals) -> None:
        assert self.service is not None
        self.service.process.send_signal(number)
        self.service.process.wait(20)

    def tasks(self) -> dict[str, Task]:
        """What it lists, by the task's id."""
        found = json.loads(fetch(f"{self.url}/api/tasks?limit=1000", signed_in=True))
        return {key: Task(*(task[name] for name in Task._fields)) for key, task in found.items()}

    def saved_since(self, moment: float) -> bool:
        """Whether what it knew then is written down: all files that a saving leaves are newer."""
        files = list(self.kept.iterdir())
        return bool(files) and all(
            ".tmp" not in file.name and file.stat().st_mtime > moment for file in files
        )
