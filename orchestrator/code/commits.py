"""The git commit that a pipeline's code is at, as far as git knows it."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic

#: Seconds for one call of git: a submission does not wait longer for a repository on a slow disk.
_TIMEOUT = 5.0
#: Seconds for which an answer of git holds.
_FRESH = 1.0


@dataclass(frozen=True)
class Commit:
    """A commit, and whether the repository's files are no longer those of it."""

    id: str
    dirty: bool


def commit_of(function: Callable[..., object]) -> Commit | None:
    """The commit of the repository that a function's file belongs to.

    None where it belongs to none: an installed package below somebody's repository is no part of it.
    """
    file = _file_of(function)
    return None if file is None else _Question(file).answer()


def ask_commit(function: Callable[..., object]) -> Callable[[], Commit | None]:
    """Ask git for the commit of a function's file; returns the call that waits for the answer.

    Git takes milliseconds, in which the caller has other things to do. What was asked less than a second ago
    is not asked again: a process that sends many runs would wait for git most of its time.
    """
    file = _file_of(function)
    if file is None:
        return lambda: None
    asked = _asked.get(file)
    if asked is None or asked.is_old:
        asked = _asked[file] = _Question(file)
    return asked.answer


class _Question:
    """What git was asked about a file, and its answer; several threads may wait for it."""

    def __init__(self, file: Path) -> None:
        self._until = monotonic() + _FRESH
        self._lock = Lock()
        self._answer: Commit | None = None
        self._processes: list[subprocess.Popen[str]] = []
        with suppress(OSError):  # there is no git
            self._processes = [
                _git(file.parent, "ls-files", "--error-unmatch", "--", file.name),
                _git(file.parent, "status", "--porcelain=v2", "--branch", "--untracked-files=no"),
            ]

    @property
    def is_old(self) -> bool:
        """Whether the file may have changed since."""
        return monotonic() > self._until

    def answer(self) -> Commit | None:
        """Wait for the answer."""
        with self._lock:
            if self._processes:
                self._answer = _answer(*self._processes)
                self._processes = []
        return self._answer


#: The last question about each file.
_asked: dict[Path, _Question] = {}


def _file_of(function: Callable[..., object]) -> Path | None:
    try:
        return Path(inspect.getfile(function)).resolve(strict=True)
    except (TypeError, OSError):
        return None


def _answer(belongs: subprocess.Popen[str], state: subprocess.Popen[str]) -> Commit | None:
    lines = [_output(each) for each in (belongs, state)][-1]
    if belongs.returncode or state.returncode:
        return None
    found = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    return None if found == "(initial)" else Commit(found, any(not line.startswith("#") for line in lines))


def _output(process: subprocess.Popen[str]) -> list[str]:
    with process:
        try:
            return process.communicate(timeout=_TIMEOUT)[0].splitlines()
        except subprocess.TimeoutExpired:
            process.kill()
            return []


def _git(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["git", "-c", "core.fsmonitor=false", *arguments],  # starts no daemon that would hold the pipes
        cwd=folder,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    )
