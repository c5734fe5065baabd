"""Where MLflow keeps what it is told in `home`, and how that file is made ahead of its first use."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.stack.process import Process
from orchestrator.tracking_address import MLFLOW_FILE


def start_making(home: Path, *, log: Path, environment: Mapping[str, str]) -> Process | None:
    """Make the file in the background; None if it is there, or somebody else is at it.

    The lock is taken here, before the maker exists, and inherited by it. The workers' tracking waits for the
    same lock before it opens the file.
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


def wait_for(making: Process, seconds: float) -> None:
    """Return when the file has been made; raises StackFailed if it could not be."""
    if not making.wait(seconds):
        raise making.failure(f"was not made within {seconds:.0f} s")
    if making.exit_status != 0:
        raise making.failure("could not be made")
