"""Files of a store that is a folder, read and written without obstore and its threads.

Every stage reads and writes a manifest or two. Through obstore that takes five times as long, and there is no
way to flush a file to the disk. Paths are strings where files are read and created: making a Path takes half
as long as creating a file.

Everything is written as a draft first, and gets its name only when all of it is there: a reader never sees
half a file, and a full disk leaves nothing behind. A killed process leaves a draft, which the next process
that writes removes once it is old.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import getrandbits
from typing import IO

#: Where the drafts are.
DRAFTS = "drafts"
#: Where a file is that is being removed by `remove_unless_changed`.
CONDEMNED = "condemned"
#: Seconds since its last byte after which a draft is taken for abandoned.
ABANDONED = 3600.0

Body = bytes | list[memoryview] | IO[bytes]


class LocalFiles:
    """The files below one folder. `flush` makes a file survive a power cut (fsync).

    The folder itself may be a link; one below it that leads elsewhere is not followed, so that who can write
    to the store reaches no other files of its readers.
    """

    def __init__(self, root: Path) -> None:
        self._folder = str(root)
        self._inside = os.path.realpath(root) + os.sep
        self._drafts = root / DRAFTS
        self._cleaned = False

    def path(self, key: str) -> Path:
        """Where the file of a key lies; OSError if a link leads out of the folder."""
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        place = self._folder
        for part in key.split("/"):
            place = f"{place}{os.sep}{part}"
            try:
                linked = stat.S_ISLNK(os.lstat(place).st_mode)
            except OSError:
                break  # what is not there leads nowhere; other errors come again when it is used
            if linked and not os.path.realpath(place).startswith(self._inside):
                raise OSError(errno.EXDEV, "a link leads out of the store", key)
        return f"{self._folder}{os.sep}{key}"

    def read(self, key: str) -> bytes:
        """What is in a file; FileNotFoundError if there is none."""
        # without waiting for the other end of what is no file but a pipe
        handle = os.open(self._place(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "is no file", key)
            return file.read()

    def keys(self, folder: str = "") -> Iterator[str]:
        """The keys of the files below a folder; links are none, and drafts neither."""
        open_ = [(self._place(folder), f"{folder}/") if folder else (self._folder, "")]
        while open_:
            place, prefix = open_.pop()
            for entry in _entries(place):
                if entry.is_dir(follow_symlinks=False):
                    if prefix or entry.name != DRAFTS:
                        open_.append((entry.path, f"{prefix}{entry.name}/"))
                elif not entry.is_symlink():
                    yield f"{prefix}{entry.name}"

    def sizes(self, folder: str, *, but: Container[str] = ()) -> Iterator[tuple[str, int, float]]:
        """The keys of the files below a folder, with size (bytes) and time of change (seconds since 1970).

        `but` names folders directly below that are left out. OSError if a folder cannot be read: who asks for
        all must not take a part for it.
        """
        open_ = [(self._place(folder), f"{folder}/") if folder else (self._folder, "")]
        top = True
        while open_:
            place, prefix = open_.pop()
            for entry in _all_entries(place):
                with suppress(FileNotFoundError):  # just removed
                    if entry.is_dir(follow_symlinks=False):
                        if not top or entry.name not in but:
                            open_.append((entry.path, f"{prefix}{entry.name}/"))
                    elif not entry.is_symlink():
                        status = entry.stat(follow_symlinks=False)
                        yield f"{prefix}{entry.name}", status.st_size, status.st_mtime
            top = False

    def folders(self, above: str, holding: str) -> Iterator[str]:
        """The names of the folders directly below one that have a file of the name `holding`."""
        for entry in _entries(self._place(above)):
            if entry.is_dir(follow_symlinks=False) and os.path.isfile(f"{entry.path}{os.sep}{holding}"):  # noqa: PTH113
                yield entry.name

    def remove(self, key: str) -> None:
        """Remove a file, if there is one."""
        self.path(key).unlink(missing_ok=True)

    def remove_empty(self, folder: str) -> None:
        """Remove the empty folders in a folder, and itself if nothing else is in it."""
        for place, _, _ in os.walk(self._place(folder), topdown=False):
            with suppress(OSError):  # not empty, or just gone
                Path(place).rmdir()

    def touch(self, key: str) -> bool:
        """Give a file the present time; False if there is none, or it is another user's."""
        try:
            os.utime(self._place(key))
        except (FileNotFoundError, PermissionError):
            return False
        return True

    def remove_unless_changed(self, key: str, since: float) -> bool:
        """Remove a file unless it was changed or touched after `since` (seconds since 1970); True if removed.

        It is moved away before its time is read. So who touches it either does so before, and it is put back,
        or finds no file: no file that `touch` has found goes. A process that is killed meanwhile leaves it
        to `put_back`.
        """
        path, away = self._place(key), self._condemned(key)
        try:
            _with_parents(os.rename, path, away)
            if os.stat(away).st_mtime > since:  # noqa: PTH116
                self._put_back(away, path)
                return False
            os.unlink(away)  # noqa: PTH108
        except FileNotFoundError:  # another process removes it, too, or has put it back
            return False
        return True

    def put_back(self, key: str) -> bool:
        """Put a file back that `remove_unless_changed` has moved away; False if there is none."""
        return self._put_back(self._condemned(key), self._place(key))

    def condemned(self) -> list[str]:
        """The names, without folders, of the files that are being removed, or were by a killed process."""
        return [entry.name for entry in _entries(self._place(CONDEMNED))]

    def _condemned(self, key: str) -> str:
        return f"{self._place(CONDEMNED)}{os.sep}{key.rpartition('/')[2]}"

    @staticmethod
    def _put_back(away: str, path: str) -> bool:
        with suppress(FileNotFoundError):
            with suppress(FileExistsError):  # somebody has written it anew
                os.link(away, path)
            os.unlink(away)  # noqa: PTH108
            return True
        return False

    def create(self, key: str, body: Body, *, flush: bool = False) -> bool:
        """Create a file unless there is one; True if this call created it. Atomic."""
        path = self._place(key)
        with self._draft(body, flush) as draft:
            try:
                _with_parents(os.link, draft, path)
            except FileExistsError:
                return False
        if flush:
            fsync(Path(path).parent)
        return True

    def replace(self, key: str, body: Body, *, flush: bool = False, mode: int = 0o666) -> None:
        """Write a file, replacing the one that may be there. Atomic."""
        path = self._place(key)
        with self._draft(body, flush, mode) as draft:
            _with_parents(os.replace, draft, path)
        if flush:
            fsync(Path(path).parent)

    def flush(self, key: str) -> None:
        """Flush a file that was created without it, and its name, to the disk; if there is one."""
        path = self.path(key)
        with suppress(FileNotFoundError):
            fsync(path)
            fsync(path.parent)

    @contextmanager
    def _draft(self, body: Body, flush: bool, mode: int = 0o666) -> Iterator[str]:
        if not self._cleaned:
            self.remove_abandoned()
        draft = f"{self._drafts}{os.sep}part#{getrandbits(60)}"
        try:
            with os.fdopen(self._open(draft, mode), "wb") as file:
                if isinstance(body, bytes):
                    file.write(body)
                elif isinstance(body, list):
                    for piece in body:
                        file.write(piece)
                else:
                    shutil.copyfileobj(body, file, 1 << 20)
                if flush:
                    file.flush()
                    os.fsync(file.fileno())
            yield draft
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft)  # noqa: PTH108

    def _open(self, draft: str, mode: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(draft, flags, mode)
        except FileNotFoundError:  # somebody has emptied the store's folder
            self._drafts.mkdir(parents=True, exist_ok=True)
            return os.open(draft, flags, mode)

    def remove_abandoned(self) -> None:
        """Remove the drafts of killed processes: one that is being written is never old."""
        self._drafts.mkdir(parents=True, exist_ok=True)
        self._cleaned = True
        os.utime(self._drafts)  # by the clock that drafts have their times of: on a shared folder, another's
        oldest = self._drafts.stat().st_mtime - ABANDONED
        for draft in self._drafts.iterdir():
            with suppress(OSError):  # another user's, or just gone
                if draft.stat().st_mtime < oldest:
                    draft.unlink()


def _entries(place: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if it cannot be read, as somebody may just have removed it."""
    with suppress(OSError), os.scandir(place) as found:
        return list(found)
    return []


def _all_entries(place: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if it is not there any more."""
    try:
        with os.scandir(place) as found:
            return list(found)
    except FileNotFoundError:
        return []


def _with_parents(place: Callable[[str, str], None], draft: str, path: str) -> None:
    try:
        place(draft, path)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        place(draft, path)


def fsync(path: Path) -> None:
    """Flush one file's content, or the names in one folder, to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(path: Path) -> None:
    """Flush a file with its name, or a folder with all that is in it; links are not followed."""
    if path.is_dir():
        for folder, _, names in os.walk(path, topdown=False):
            for each in (Path(folder, name) for name in names):
                if not each.is_symlink():
                    fsync(each)
            fsync(Path(folder))
    else:
        fsync(path)
    fsync(path.parent)
