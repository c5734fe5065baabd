"""Folders as one blob: an uncompressed tar whose bytes depend on names and contents only."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from orchestrator.artifacts.errors import StoreError, WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors

#: Folders below folders; what is deeper was made to break whoever unpacks it.
_DEPTH: Final = 200


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


def unpack(packed: Path, folder: Path) -> None:
    """Make `folder` from a packed one; its files are read-only.

    All names are judged before anything is written, and nothing but names, contents and "executable" is taken
    from the archive: no owner, no mode, no link.
    """
    with translated_parse_errors("a stored folder", "tar"):
        archive = tarfile.open(packed, mode="r:")  # noqa: SIM115 - closed below, once it could be opened
    with archive:
        with translated_parse_errors("a stored folder", "tar"):
            entries = _checked(archive.getmembers(), packed.stat().st_size)
        folder.mkdir(parents=True)
        for name, entry in entries.items():
            path = folder / name
            if entry.isdir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(archive, entry, path)


def _checked(entries: Iterable[tarfile.TarInfo], size: int) -> Mapping[PurePosixPath, tarfile.TarInfo]:
    """The entries by name, if all of them are files and folders below the folder itself."""
    checked: dict[PurePosixPath, tarfile.TarInfo] = {}
    for entry in entries:
        if not (entry.isreg() or entry.isdir()) or entry.issparse():
            raise StoreError(f"a stored folder holds {entry.name!r}, which is neither a file nor a folder")
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or not name.parts or "\0" in entry.name:
            raise StoreError(f"a stored folder holds {entry.name!r}, which leads out of it")
        if len(name.parts) > _DEPTH:
            raise StoreError(f"a stored folder is nested more than {_DEPTH} deep")
        if name in checked:
            raise StoreError(f"a stored folder holds {entry.name!r} twice")
        if not 0 <= entry.size <= size:
            raise StoreError(f"a stored folder holds {entry.name!r}, which is larger than the folder itself")
        checked[name] = entry
    for name in checked:
        for parent in name.parents:
            if parent in checked and not checked[parent].isdir():
                raise StoreError(f"a stored folder holds {str(parent)!r} both as a file and as a folder")
    return checked


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    with path.open("xb") as target:
        try:
            shutil.copyfileobj(cast("IO[bytes]", archive.extractfile(entry)), target, 1 << 20)
        except tarfile.TarError as error:
            raise StoreError(f"a stored folder cannot be unpacked: {error}") from error
    path.chmod(0o555 if entry.mode & 0o100 else 0o444)
