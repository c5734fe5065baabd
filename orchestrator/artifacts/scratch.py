"""A process's own folder for copies and temporary files, removed after the process, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "orchestrator-copies-"
_LOCK = "lock"


class Scratch:
    """A folder made when first asked for. After a fork the child makes its own.

    A worker's process may be killed before it cleans up: each folder holds a file that its process keeps
    locked, and whoever makes a folder removes those that are no longer locked.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._owner = 0

    def folder(self) -> Path:
        """The folder, made if needed."""
        if self._folder is None or self._owner != os.getpid():
            _remove_abandoned()
            self._folder, self._owner = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
            lock = _lock(self._folder)
            weakref.finalize(self, _clean_up, self._folder, lock, self._owner)
        return self._folder


_temporary = Scratch()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for this block; if the process is killed meanwhile, the next one removes it."""
    with tempfile.TemporaryDirectory(dir=_temporary.folder()) as name:
        yield Path(name)


def _lock(folder: Path) -> int:
    # It gets its name only once it is locked: others never see a folder that is kept but not locked yet.
    unnamed = folder / f"{_LOCK}.new"
    lock = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(folder / _LOCK)
    return lock


def _clean_up(folder: Path, lock: int, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # just being made, somebody else's, or just removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(lock)
