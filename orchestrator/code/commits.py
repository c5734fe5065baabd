"""The git commit that a pipeline's code is at, as far as git knows it."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

#: Seconds for one call of git: a submission does not wait longer for a repository on a slow disk.
_TIMEOUT = 5.0


@dataclass(frozen=True)
class Commit:
    """A commit, and whether the repository's files are no longer those of it."""

    id: str
    dirty: bool


def commit_of(function: Callable[..., object]) -> Commit | None:
    """The commit of the repository that a function's file belongs to.

    None where it belongs to none: an installed package below somebody's repository is no part of it.
    """
    return ask_commit(function)()


def ask_commit(function: Callable[..., object]) -> Callable[[], Commit | None]:
    """Ask git for the commit of a function's file; returns the call that waits for the answer.

    Git takes milliseconds, in which the caller has other things to do.
    """
    try:
        file = Path(inspect.getfile(function)).resolve(strict=True)
        belongs = _git(file.parent, "ls-files", "--error-unmatch", "--", file.name)
        state = _git(file.parent, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    except (TypeError, OSError):
        return lambda: None
    return partial(_answer, belongs, state)


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
