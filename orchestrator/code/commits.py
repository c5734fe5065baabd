"""The git commit that a pipeline's code is at, as far as git knows it."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
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
    try:
        file = Path(inspect.getfile(function)).resolve(strict=True)
        _git(file.parent, "ls-files", "--error-unmatch", "--", file.name)
        told = _git(file.parent, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    except (TypeError, OSError, subprocess.SubprocessError):
        return None
    lines = told.splitlines()
    found = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    return None if found == "(initial)" else Commit(found, any(not line.startswith("#") for line in lines))


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "core.fsmonitor=false", *arguments],  # starts no daemon that would hold the pipes
        cwd=folder,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_TIMEOUT,
        check=True,
    ).stdout
