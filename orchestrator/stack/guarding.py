"""Keeps a guard process informed of what is to be cleaned up if this process is killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from orchestrator.stack import guard


class Guard:
    """The guard process of one stack; guard.py says what it does."""

    def __init__(self, paths: Sequence[Path], *, lock: IO[str] | None) -> None:
        """Start it. It removes `paths` after a violent end, and keeps `lock` held until it has cleaned up."""
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=() if lock is None else (lock.fileno(),),
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        """A process group was started."""
        self._tell(f"+{pid}")

    def drop(self, pid: int) -> None:
        """A process group has ended."""
        self._tell(f"-{pid}")

    def leave(self) -> None:
        """In a process that its owner has forked: let the guard notice the owner's end."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def dismiss(self) -> None:
        """All is in order: the guard goes without doing anything."""
        self._tell("end")
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._popen.wait()

    def _tell(self, line: str) -> None:
        # Should somebody have killed the guard, the stack works on without one.
        with contextlib.suppress(BrokenPipeError):
            self._input.write(line.encode() + b"\n")
            self._input.flush()

    @property
    def _input(self) -> IO[bytes]:
        stdin = self._popen.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        return stdin
