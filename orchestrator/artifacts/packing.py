"""Folders as one blob: an uncompressed tar whose bytes depend on names and contents only."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import IO

from orchestrator.artifacts.errors import StoreError, WrongValue


def pack(folder: Path, target: IO[bytes]) -> None:
    """Write `folder` to `target`: sorted, without owners and times; of the modes only "executable" stays."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise WrongValue(
                    f"is the folder {folder} with {entry.name!r}, which is neither a file nor a folder",
                    hint="Store copies instead of links.",
                )
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                with path.open("rb") as file:
                    status = path.stat()
                    entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                    archive.addfile(entry, file)


def unpack(archive_path: Path, folder: Path) -> None:
    """Make `folder` from a packed one; its files are read-only."""
    folder.mkdir(parents=True)
    with tarfile.open(archive_path, mode="r:") as archive:
        for entry in archive:
            if not (entry.isreg() or entry.isdir()):
                raise StoreError(
                    f"a stored folder holds {entry.name!r}, which is neither a file nor a folder"
                )
            try:
                archive.extract(entry, folder, filter="data")
            except tarfile.FilterError as error:
                raise StoreError(f"a stored folder cannot be unpacked: {error}") from error
            if entry.isreg():
                (folder / entry.name).chmod(entry.mode & 0o555)
