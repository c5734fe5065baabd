"""Local copies of a store's blobs: downloads, files under their own name, unpacked folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.artifacts.digest import Digest, hex_of
from orchestrator.artifacts.keys import checked_file_name
from orchestrator.artifacts.packing import unpack
from orchestrator.artifacts.scratch import Scratch

Blocks = Iterable[bytes | memoryview]


class Copies:
    """The local copies of this process, until they are trimmed or the process ends."""

    def __init__(self) -> None:
        self._scratch = Scratch()

    def download(self, digest: Digest, fetch: Callable[[], Blocks]) -> Path:
        """The local copy of a remote blob, fetched if it is not here yet."""
        path = self._place("blobs", digest)
        if not path.exists():
            handle, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as part:
                    for block in fetch():
                        part.write(block)
                Path(name).rename(path)
            finally:
                Path(name).unlink(missing_ok=True)
        return path

    def named(self, digest: Digest, name: str, blob: Path) -> Path:
        """The blob's file under the name it was stored with (a link)."""
        path = self._place("files", digest) / checked_file_name(name)
        path.parent.mkdir(exist_ok=True)
        if path.is_symlink() and path.readlink() == blob:
            return path
        path.unlink(missing_ok=True)
        path.symlink_to(blob)
        return path

    def unpacked(self, digest: Digest, name: str, blob: Path) -> Path:
        """The folder packed in the blob, under the name it was stored with; each call makes its own."""
        parent = Path(tempfile.mkdtemp(dir=self._place("folders", digest).parent))
        try:
            unpack(blob, parent / checked_file_name(name))
        except BaseException:
            shutil.rmtree(parent, ignore_errors=True)  # a full disk gets its space back
            raise
        return parent / name

    def trim(self, limit: int) -> None:
        """Remove all copies if they take more than `limit` bytes."""
        folder = self._scratch.folder()
        kept = [folder / kind for kind in ("blobs", "files", "folders")]
        if sum(path.lstat().st_size for kind in kept for path in kind.rglob("*")) > limit:
            for kind in kept:
                shutil.rmtree(kind, ignore_errors=True)

    def _place(self, kind: str, digest: Digest) -> Path:
        folder = self._scratch.folder() / kind
        folder.mkdir(exist_ok=True)
        return folder / hex_of(digest)
