"""The state of a stack that is up, in `stack.json`; valid only while its daemon holds `stack.lock`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId

FILE = "stack.json"
LOCK = "stack.lock"
#: The folder in which private stacks are described, each in a file of its own.
PRIVATE = "private"


class CarriedOn(OrchestratorError):
    """Another command of the same home is executing the run."""


@dataclass(frozen=True, kw_only=True)
class StackState:
    """The addresses of a stack that is up."""

    pid: int  #: of its daemon
    started: str  #: in UTC, ISO 8601
    redis_url: str  #: for Celery; `client_url` makes redis-py's of it
    mlflow_tracking_uri: str  #: for clients
    mlflow_url: str | None  #: of the pages to look at; None when the user's own MLflow is used
    flower_url: str | None
    slots: Mapping[str, int]
    environment: Mapping[str, str]  #: variables with which a process takes part in the stack
    modules: Sequence[str] = ()  #: of pipelines, that its workers have loaded

    def as_json(self) -> str:
        """As it is written to the file, and by the daemon to the process that started it."""
        return json.dumps(asdict(self), indent=1)

    def knows(self, module: str) -> bool:
        """Whether its workers have loaded a module of pipelines, as far as is known."""
        return not self.modules or is_within(module, self.modules)

    @classmethod
    def from_json(cls, text: str) -> StackState:
        """Raises TypeError or ValueError when it was not written by `as_json`."""
        return cls(**json.loads(text))


def is_within(module: str, modules: Iterable[str]) -> bool:
    """Whether a module is one of these, or in a package among them."""
    return any(f"{module}.".startswith(f"{each}.") for each in modules)


def read_state(home: Path) -> StackState | None:
    """The stack of `home` that is up now; None when there is none, whatever the file says.

    The daemon holds a lock for as long as it lives, and the operating system releases it however it dies:
    neither a file that a killed daemon left nor a process that was given its number is taken for a stack.
    """
    try:
        text = (home / FILE).read_text(encoding="utf-8")
        state = StackState.from_json(text)
        os.kill(state.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return state if has_daemon(home) else None


def has_daemon(home: Path) -> bool:
    """Whether there is a daemon, starting or stopping ones included, or a killed one's reaper at work."""
    try:
        with (home / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def daemon_pid(home: Path) -> int | None:
    """The process id of the daemon that is starting, up or stopping; None if there is none."""
    if not has_daemon(home):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int((home / LOCK).read_text(encoding="utf-8"))
    return None


def private_states(home: Path) -> list[StackState]:
    """The private stacks of `home`, each there for one run only; one may have ended a moment ago."""
    found = []
    for file in sorted((home / PRIVATE).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            state = StackState.from_json(file.read_text(encoding="utf-8"))
            os.kill(state.pid, 0)
            found.append(state)
    return found


@contextlib.contextmanager
def run_lock(home: Path, run: RunId) -> Iterator[None]:
    """Lock a run inside the block, so that no other command of this home executes it too; raises CarriedOn.

    Each command has a private Redis of its own. The lock ends with this process, however it dies.
    """
    file = home / PRIVATE / f"{run}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        if not _has_locked(lock, file):
            told = f"run '{run}' is going on, by a command in another terminal"
            raise CarriedOn(told, hint=f"follow it with: orchestrator logs {run} --follow")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _has_locked(lock: IO[str], file: Path) -> bool:
    """Whether the lock is ours, and its file was not removed by the process that held it before."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), file.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def write_state(file: Path, state: StackState) -> None:
    """Write the file, whole or not at all, readable by this user only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{state.pid}")
    new.touch(mode=0o600)
    new.write_text(state.as_json(), encoding="utf-8")
    new.replace(file)


def take_lock(home: Path, seconds: float) -> IO[str] | None:
    """Take the daemon's lock, held until the file is closed; None if another process holds it for longer.

    A daemon that was killed leaves the lock to its reaper, which releases it when it has cleaned up.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / LOCK).open("a+", encoding="utf-8")
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                return None
            time.sleep(0.02)
        else:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return lock
