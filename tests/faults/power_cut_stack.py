"""A local stack whose power can be cut: `orchestrator up` and its clients, all of them watched."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from orchestrator.archive.run_record import read_final, stored_runs
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import AlteredArtifact, ArtifactStore
from orchestrator.authoring.graph import Graph
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import RunRecord
from orchestrator.stack_state import StackState, read_state

from .disk import Watch
from .power_cut_pipeline import CALLS

HERE = Path(__file__).parent
SLOTS = ("--slots", "data=2", "--slots", "training=1", "--slots", "deployment=1")


class Powered:
    """A stack and its home, through any number of power cuts. All of it lives in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.calls = folder / "calls"
        self.home.mkdir(parents=True)
        (folder / "tmp").mkdir()
        self._starts = 0
        self._submissions: list[str] = []
        self._clients: list[subprocess.Popen[bytes]] = []
        self._watch = Watch.begin(self.home, folder / "notes")

    @property
    def store(self) -> ArtifactStore:
        """The store, as it is now."""
        return ArtifactStore((self.home / "artifacts").as_uri(), create=False)

    @property
    def state(self) -> StackState:
        """The stack that is up."""
        state = read_state(self.home)
        if state is None:
            raise RuntimeError(f"no stack is up in {self.home}")
        return state

    @property
    def told(self) -> set[RunId]:
        """The runs that clients were told of."""
        lines = [line for name in self._submissions for line in self._said(name).splitlines()]
        return {RunId(json.loads(line)["id"]) for line in lines}

    def start(self) -> subprocess.Popen[bytes]:
        """Begin to start the stack."""
        self._starts += 1
        return self.call("up", *SLOTS, name=f"up-{self._starts}")

    def is_up(self) -> bool:
        return read_state(self.home) is not None

    def starts(self, seconds: float) -> bool:
        """Start the stack; whether it is up in that time."""
        return _status(self.start(), seconds) == 0

    def submit(self, name: str) -> None:
        """Begin to send a run."""
        self._submissions.append(name)
        self.call("run", "interrupted", "--detach", "--json", name=name)

    def finishes(self, seconds: float, *words: str, name: str) -> int | None:
        """The exit status of a command; None if it takes longer."""
        return _status(self.call(*words, name=name), seconds)

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text()

    def call(self, *words: str, name: str) -> subprocess.Popen[bytes]:
        """Begin a command; what it says goes to files outside of the home."""
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            command = [sys.executable, "-m", "orchestrator", *words]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment,
                cwd=self.folder,
            )
        self._clients.append(process)
        return process

    @property
    def _environment(self) -> dict[str, str]:
        ours = ("ORCHESTRATOR_", "REDIS_", "MLFLOW_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        own = {
            "ORCHESTRATOR_HOME": str(self.home),
            "ORCHESTRATOR_PIPELINES": "power_cut_pipeline",
            "PYTHONPATH": str(HERE),
            "TMPDIR": str(self.folder / "tmp"),
            CALLS: str(self.calls),
        }
        return {**inherited, **own, **self._watch.environment}

    def cut(self, chance: random.Random) -> str:
        """End everything at once, and leave what a disk may have kept; says in a line what was lost."""
        with self._watch.between_changes():
            while left := [each for each in self._watch.processes() if _state(each) not in "TtZX"]:
                _signal(left, signal.SIGSTOP)  # first, or the guard would tidy up behind the others
            self.kill()
        lost = self._watch.cut(chance)
        self._watch = Watch.begin(self.home, self.folder / "notes")
        return lost

    def kill(self) -> None:
        """End everything, and leave all as it is."""
        while left := [each for each in self._watch.processes() if _state(each) not in "ZX"]:
            _signal(left, signal.SIGKILL)
            time.sleep(0.01)
        for client in self._clients:
            client.wait()
        self._clients.clear()

    def reader(self) -> RunReader:
        """What the stack that is up has of runs."""
        return RunReader(connect(self.state.redis_url))

    def runs_begun(self) -> list[str]:
        """The runs of which the store has anything at all."""
        return [path.name for path in (self.home / "artifacts" / "runs").glob("*")]

    def runs(self) -> list[RunId]:
        """All runs that the store knows."""
        return stored_runs(self.store)

    def graph(self, run: RunId) -> Graph:
        """What a run consists of."""
        return Specification.read(self.store, run).graph

    def record(self, reader: RunReader, run: RunId) -> RunRecord | None:
        """A run's record where it has ended and was written down, from Redis or else from the store."""
        if reader.knows(run):
            return reader.read(run, self.graph(run)) if reader.concluded(run) else None
        with suppress(AlteredArtifact):
            final = read_final(self.store, run)
            return final[0] if final else None
        return None


def _status(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _state(process: int) -> str:
    """What a process does: T if it is stopped, Z or X if it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
