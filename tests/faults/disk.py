"""What is left on a disk after a power cut: what was flushed, and as much of the rest as chance leaves.

All processes that use a folder are started with a library preloaded (`disk_watch.c`). It notes each change
of a name in the folder, each flush of a folder, and what a file held when it was flushed. With the
processes killed, `Watch.cut` puts one possible state of the disk in the folder's place:

- Names (files made, linked, renamed, removed) survive in the order in which they were made, as ext4 and XFS
  keep them: all up to a moment between the last flush of a folder and now. That a file's own flush brings
  its name along, as both do, is not relied on.
- What a file held at its last flush is there. What was written since is there in full, or not at all, or in
  part: cut off anywhere, with zeros up to the length that it had, or, where it was written over, some pages
  new and others old. It does not matter how the file is called by now: one that was renamed into its place,
  and was not flushed before, may be empty.
- What was being flushed at the moment of the cut counts as lost, as nobody had been told.

Not covered: file systems that reorder names (btrfs, ext2), disks that lie about flushes, a page that was
written twice with no flush in between and of which the first writing is kept, and what is outside of the
folder. `msync`, `sync` and `O_SYNC` count as no flush.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("disk_watch.c")
PAGE = 4096
#: What stands for a folder and a link in the place of a file's identity.
FOLDER, LINK, GONE = "dir", "link", "gone"


class WatchIncomplete(Exception):
    """The folder is not what the notes say: some call is not watched, so nothing is proven."""


def why_not() -> str:
    """Why disks cannot be watched on this machine; empty if they can."""
    if not sys.platform.startswith("linux"):
        return "processes are watched through LD_PRELOAD, which is Linux's"
    return "" if shutil.which("cc") else "there is no C compiler (`cc`) to build the watching library with"


@dataclass(frozen=True)
class Watch:
    """A folder whose processes are watched, from a moment when all in it was on the disk."""

    root: Path
    notes: Path
    library: Path
    before: Mapping[str, str]  #: identities by path, as it began

    @classmethod
    def begin(cls, root: Path, notes: Path) -> Watch:
        """Take all that is in a folder for safe; nothing may use it yet."""
        library = notes.parent / "disk_watch.so"
        if not library.exists():
            command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(SOURCE), "-ldl"]
            subprocess.run(command, check=True)
        shutil.rmtree(notes, ignore_errors=True)
        (notes / "flushed").mkdir(parents=True)
        (notes / "names").touch()
        watch = cls(root, notes, library, _names_in(root, library))
        for path, identity in watch.before.items():
            if identity not in (FOLDER, LINK):
                shutil.copy(path, watch.flushed(identity))
        return watch

    @property
    def environment(self) -> dict[str, str]:
        """What processes are started with to be watched."""
        return {
            "LD_PRELOAD": str(self.library),
            "DISK_WATCH_ROOT": str(self.root),
            "DISK_WATCH_NOTES": str(self.notes),
        }

    def flushed(self, identity: str) -> Path:
        """Where the content is that a file had when it was last flushed."""
        return self.notes / "flushed" / identity

    def processes(self) -> list[int]:
        """All that are watched and live: those with the library in their memory, or about to load it.

        (The environment alone says too little: Redis writes its title over what it was started with.)
        """
        marks = {"maps": os.fsencode(self.library), "environ": f"DISK_WATCH_NOTES={self.notes}".encode()}
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and int(folder.name) != os.getpid():
                with suppress(OSError):  # it has just ended, or is another user's
                    if any(mark in (folder / name).read_bytes() for name, mark in marks.items()):
                        found.append(int(folder.name))
        return found

    @contextmanager
    def between_changes(self) -> Iterator[None]:
        """Inside the block, no name changes that is not noted."""
        with (self.notes / "names").open("a") as notes:
            fcntl.flock(notes, fcntl.LOCK_EX)
            yield

    def cut(self, chance: random.Random) -> str:
        """Put a state after a power cut now in the folder's place; says in a line what was lost.

        No process may be left. The folder as it was is beside it, called `.before`.
        """
        if alive := self.processes():
            raise WatchIncomplete(f"these processes live on: {alive}")
        changes = [line.split("\t") for line in (self.notes / "names").read_text().splitlines()]
        now = _after(self.before, changes)
        there = _names_in(self.root, self.library)
        if now != there:
            raise WatchIncomplete(f"not as noted: {dict(now.items() ^ there.items())}")
        safe = max((number for number, each in enumerate(changes, 1) if each[0] == "S"), default=0)
        kept = chance.choice((safe, chance.randint(safe, len(changes)), len(changes)))  # the worst first
        left = _after(self.before, changes[:kept])
        paths = {identity: path for path, identity in there.items()}
        contents = _Contents(self, {each: Path(path) for each, path in paths.items()}, chance)
        picture = self.root.with_name(f"{self.root.name}.picture")
        _build(picture, self.root, left, contents)
        before = self.root.with_name(f"{self.root.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        self.root.rename(before)
        picture.rename(self.root)
        lost = sum(each[0] != "S" for each in changes[kept:])
        return f"{lost} changes of names lost, {len(contents.torn)} files not as they were"


class _Contents:
    """What is left of each file: the same under all of its names."""

    def __init__(self, watch: Watch, paths: Mapping[str, Path], chance: random.Random) -> None:
        self._watch = watch
        self._paths = paths
        self._chance = chance
        self.torn: list[Path] = []

    def write(self, identity: str, place: Path) -> None:
        flushed = self._watch.flushed(identity)
        safe = flushed.read_bytes() if flushed.exists() else b""
        path = self._paths.get(identity)  # one that was removed since, and is back
        written = path.read_bytes() if path else safe
        kept = survivor(safe, written, self._chance)
        if path and kept != written:
            self.torn.append(path)
        place.write_bytes(kept)
        if path:
            shutil.copystat(path, place)
        elif flushed.exists():
            shutil.copymode(flushed, place)


def survivor(safe: bytes, written: bytes, chance: random.Random) -> bytes:
    """What is left of a file that was flushed as `safe`, and written to since."""
    if safe == written:
        return safe
    kind = chance.choice(("nothing", "all", "part", "zeros"))
    if kind == "all":
        return written
    if kind == "nothing":
        return safe
    if not written.startswith(safe):
        return _mixed(safe, written, chance)
    end = chance.randint(len(safe), len(written))
    return written[:end] + bytes(len(written) - end if kind == "zeros" else 0)


def _mixed(safe: bytes, written: bytes, chance: random.Random) -> bytes:
    """Pages of both: which of them the disk had written is anybody's guess."""
    length = chance.choice((len(safe), len(written)))
    sides = (safe.ljust(length, b"\0"), written.ljust(length, b"\0"))
    return b"".join(chance.choice(sides)[at : at + PAGE] for at in range(0, length, PAGE))[:length]


def _after(before: Mapping[str, str], changes: Iterable[list[str]]) -> dict[str, str]:
    """The names after these changes."""
    names = dict(before)
    for kind, first, second in changes:
        if kind == "N":
            path = os.path.normpath(second)
            if first == GONE:
                names.pop(path, None)
            else:
                names[path] = first
        elif kind == "R":
            old, new = os.path.normpath(first), os.path.normpath(second)
            for path in [path for path in names if path == old or path.startswith(f"{old}/")]:
                names[new + path.removeprefix(old)] = names.pop(path)
    return names


def _names_in(root: Path, library: Path) -> dict[str, str]:
    """The identities of all in a folder, by path; sockets have none."""
    identity_of = ctypes.CDLL(str(library)).disk_watch_identity
    identity = ctypes.create_string_buffer(80)
    found = {}
    for path in _walk(root):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            identity_of(os.fsencode(path), identity, len(identity))
            found[str(path)] = identity.value.decode()
    return found


def _walk(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        yield from (Path(folder, name) for name in (*folders, *files))


def _build(picture: Path, root: Path, names: Mapping[str, str], contents: _Contents) -> None:
    shutil.rmtree(picture, ignore_errors=True)
    made: dict[str, Path] = {}
    for path, identity in sorted(names.items()):  # folders before what is in them
        place = picture / Path(path).relative_to(root)
        if identity == FOLDER:
            place.mkdir()
            place.chmod(stat.S_IMODE(Path(path).stat().st_mode) if Path(path).is_dir() else 0o777)
        elif identity == LINK:
            if Path(path).is_symlink():
                place.symlink_to(Path(path).readlink())
        elif identity in made:
            os.link(made[identity], place)
        else:
            contents.write(identity, place)
            made[identity] = place
