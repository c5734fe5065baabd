"""Has files on the disk, with the names that lead to them, whatever happens to the machine then."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Have one file's content on the disk, or the names in one folder."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_all(path: Path) -> None:
    """Have a file on the disk with its name, or a folder with all that is in it; links are not followed."""
    if path.is_dir():
        for folder, _, names in os.walk(path, topdown=False):
            for each in (Path(folder, name) for name in names):
                if not each.is_symlink():
                    flush(each)
            flush(Path(folder))
    else:
        flush(path)
    flush(path.parent)
