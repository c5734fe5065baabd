"""The artifact store: blobs by digest, and plain keys, in any object store."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import obstore
from obstore.exceptions import AlreadyExistsError

from orchestrator.artifacts.backend import open_backend, shown, translated_errors, translated_write_errors
from orchestrator.artifacts.copies import Blocks, Copies
from orchestrator.artifacts.digest import Digest, blob_key, digest_at, digest_of_bytes, digest_of_file
from orchestrator.artifacts.errors import AlteredArtifact, MissingArtifact, StoreError, WrongValue
from orchestrator.artifacts.io_errors import store_error
from orchestrator.artifacts.keys import RESERVED, checked_key, is_key
from orchestrator.artifacts.local_files import Body, LocalFiles
from orchestrator.artifacts.packing import pack
from orchestrator.artifacts.sweeping import RemoteSweeps, changed

_AGAIN = "Its stage must run again: `orchestrator resume RUN` sees to it."

#: Blobs of this size (bytes) and above are written through a temporary file instead of memory.
SPOOL = 16 * 1024 * 1024

#: Seconds for which a blob that nothing refers to stays: what is being written has no manifest yet. A writer
#: that finds its blob older than half of this gives it a new time, which in a remote store is an upload.
GRACE_LOCAL, GRACE_REMOTE = 3600.0, 86_400.0

#: Identifies a file that was verified: inode, size, times of content and of status.
_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class StoredObject:
    """An object under a plain key."""

    key: str
    size: int  #: bytes
    changed: float  #: seconds since 1970


@dataclass(frozen=True)
class StoredBlob:
    """A blob in the store."""

    digest: Digest
    size: int  #: bytes
    changed: float  #: when it was written last, or found to be there by a writer, in seconds since 1970


class ArtifactStore:
    """Durable objects: content-addressed blobs, and small objects under plain keys.

    `url` is a folder, `file:///…`, `s3://…`, `gs://…`, `az://…`, or `memory://` (private to this object, for
    tests). Safe to use from several threads and (except `memory://`) processes; not across a fork.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open it; without `create`, a local folder that is not there is an empty store, and is not made."""
        self.url = shown(url)
        self._backend, folder = open_backend(url, create=create)
        self._files = LocalFiles(folder) if folder is not None else None
        self._copies = Copies()
        self._verified: dict[Path, _Stamp] = {}

    def __repr__(self) -> str:
        return f"ArtifactStore({self.url!r})"

    def put(self, data: bytes | Path | IO[bytes]) -> Digest:
        """Store bytes, a file, a folder (packed as a tar) or an open file, and return the digest."""
        if isinstance(data, bytes):
            return self._put(digest_of_bytes(data), len(data), data)
        if not isinstance(data, Path):
            digest, size = digest_of_file(data), data.tell()
            data.seek(0)
            return self._put(digest, size, data)
        if data.is_dir():
            with self.spool() as archive:
                pack(data, archive)
                return self.put(archive)
        with data.open("rb") as file:
            before = _stamp(os.fstat(file.fileno()))
            digest = self.put(file)
            if _stamp(os.fstat(file.fileno())) != before:
                self.holds(digest)
                raise WrongValue(
                    f"is the file {data}, which was written to while it was stored",
                    hint="Close it before returning it.",
                )
        return digest

    def put_pieces(self, digest: Digest, pieces: list[memoryview]) -> None:
        """Store a blob that is in memory in pieces, by the digest of what they are one after the other."""
        self._put(digest, sum(piece.nbytes for piece in pieces), pieces)

    def is_stored(self, digest: Digest, size: int) -> bool:
        """Whether the blob of this digest and size (bytes) need not be written: a local one is verified.

        If so, it stays for half of `grace` at the least, even if nothing refers to it.
        """
        with translated_errors(f"look for {digest}", self.url):
            return self._is_stored(digest, size)

    def get(self, digest: Digest) -> bytes:
        """The bytes of this digest, verified."""
        try:
            with translated_errors(f"read {digest}", self.url):
                if self._files is not None:
                    data = self._read_blob(self._files, blob_key(digest))
                else:
                    data = bytes(self._fetch(digest).bytes())
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        if digest_of_bytes(data) != digest:
            raise self._altered(digest)
        return data

    def holds(self, digest: Digest) -> bool:
        """Whether the blob is there and is what its digest says. One that is altered is removed, because it
        would keep an intact one from being stored."""
        try:
            self.local_path(digest)
        except MissingArtifact:
            return False
        except AlteredArtifact:
            self._remove(blob_key(digest), f"remove the altered {digest}")
            return False
        return True

    def reuse(self, digest: Digest) -> bool:
        """Like `holds`, of a blob that a new manifest will name: as if it had been written just now."""
        if not self.holds(digest):
            return False
        with translated_write_errors(f"keep {digest}", self.url), suppress(FileNotFoundError):
            path = self.local_path(digest)
            if not self._is_stored(digest, path.stat().st_size):
                with path.open("rb") as file:
                    self._write_blob(digest, file)
        return self.holds(digest)

    def local_path(self, digest: Digest) -> Path:
        """A local file with the bytes of this digest, verified: for reading and memory-mapping only.

        It is the store's own file where the store is a folder. A file is hashed again only if it was touched.
        """
        if self._files is None:
            with translated_errors(f"fetch {digest}", self.url):
                path = self._copies.download(digest, lambda: cast("Blocks", self._fetch(digest)))
        else:
            with translated_errors(f"read {digest}", self.url):
                path = self._files.path(blob_key(digest))
        try:
            self._verify(digest, path)
        except AlteredArtifact:
            if self._files is None:
                path.unlink(missing_ok=True)  # only a copy: the next read fetches it anew
            raise
        except MissingArtifact:
            if self._files is None or not self._files.put_back(blob_key(digest)):
                raise
            self._verify(digest, path)
        return path

    def file(self, digest: Digest, name: str) -> Path:
        """Like `local_path`, but under this file name."""
        path = self.local_path(digest)
        with translated_write_errors(f"make a local copy of {digest}", self.url):
            return self._copies.named(digest, name, path)

    def folder(self, digest: Digest, name: str) -> Path:
        """The packed folder of this digest, unpacked under this name."""
        path = self.local_path(digest)
        with translated_write_errors(f"unpack {digest}", self.url):
            return self._copies.unpacked(digest, name, path)

    def trim(self, limit: int = 10 * 1024**3) -> None:
        """Remove local copies if they take more than `limit` bytes. Call it between stages only."""
        self._copies.trim(limit)

    def create(self, key: str, data: bytes, *, flush: bool = False) -> bool:
        """Write `key` if it does not exist yet: True if this call made it, False if it was there.

        With `flush`, which takes milliseconds, it survives a power cut from then on.
        """
        if self._files is not None:
            with translated_write_errors(f"create {key!r}", self.url):
                return self._files.create(checked_key(key), data, flush=flush)
        try:
            with translated_write_errors(f"create {key!r}", self.url):
                obstore.put(self._backend, checked_key(key), data, mode="create")
        except StoreError as error:
            if isinstance(error.__cause__, AlreadyExistsError):
                return False
            raise
        return True

    def write(self, key: str, data: bytes, *, flush: bool = False) -> None:
        """Write `key`, over what was there; a reader sees the old or the new, never a mixture."""
        with translated_write_errors(f"write {key!r}", self.url):
            if self._files is not None:
                self._files.replace(checked_key(key), data, flush=flush)
            else:
                obstore.put(self._backend, checked_key(key), data)

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder, whose blobs are memory-mapped where they lie."""
        return self._files is not None

    @property
    def keeps_at_once(self) -> bool:
        """Whether every write is durable as soon as it returns, so that there is nothing to flush."""
        return self._files is None

    def flush(self, key: str) -> None:
        """Flush what was created without `flush` to the disk, if there is anything."""
        if self._files is not None:
            with translated_write_errors(f"flush {key!r}", self.url):
                self._files.flush(checked_key(key))

    def read(self, key: str) -> bytes | None:
        """What is under `key`, or None if there is nothing."""
        try:
            with translated_errors(f"read {key!r}", self.url):
                if self._files is not None:
                    return self._files.read(checked_key(key))
                return bytes(obstore.get(self._backend, checked_key(key)).bytes())
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        """Remove `key`, if it is there."""
        self._remove(checked_key(key), f"remove {key!r}")

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys below the folder `prefix` (`runs/a` has `runs/a/b`, not `runs/ab`), sorted; no blobs."""
        folder = checked_key(prefix.removesuffix("/")) if prefix else None
        with translated_errors(f"list {prefix!r}", self.url):
            if self._files is not None:
                found = list(self._files.keys(folder or ""))
            else:
                found = [meta["path"] for page in obstore.list(self._backend, folder) for meta in page]
        return iter(sorted(filter(is_key, found)))

    @property
    def grace(self) -> float:
        """Seconds for which a blob that nothing refers to stays."""
        return GRACE_REMOTE if self._files is None else GRACE_LOCAL

    def objects(self, prefix: str = "", *, but: Iterable[str] = ()) -> Iterator[StoredObject]:
        """All below the folder `prefix`, in no order, with size and time, while it is listed; no blobs.

        What is in the folders `but`, directly below it, is left out.
        """
        folder = checked_key(prefix) if prefix else ""
        left_out = {*but, *(() if folder else RESERVED)}
        with translated_errors(f"list {prefix!r}", self.url):
            for key, size, time_ in self._sizes(folder, left_out):
                if is_key(key):
                    yield StoredObject(key, size, time_)

    def blobs(self) -> Iterator[StoredBlob]:
        """All blobs, in no order, while they are listed."""
        with translated_errors("list the blobs", self.url):
            for key, size, time_ in self._sizes("blobs", set()):
                if (digest := digest_at(key)) is not None:
                    yield StoredBlob(digest, size, time_)

    def remove_blobs(self, digests: Iterable[Digest], before: float) -> list[Digest]:
        """Remove those of these blobs that nobody has written or reused since `before` (seconds since 1970).

        Returns those that were removed. However late it comes, no writer that was told that its blob is
        stored loses it. Give a remote store a few hundred at a time: what takes too long is left.
        """
        with translated_errors("remove blobs", self.url):
            if self._files is None:
                return self._sweeps.remove(digests, before)
            remove = self._files.remove_unless_changed
            return [digest for digest in digests if remove(blob_key(digest), before)]

    def tidy(self) -> None:
        """Undo or end what killed processes have left: drafts, and removals that they had begun."""
        with translated_errors("tidy up", self.url):
            if self._files is None:
                self._sweeps.tidy()
                return
            self._files.remove_abandoned()
            for name in self._files.condemned():
                self._files.put_back(f"blobs/sha256/{name[:2]}/{name}")

    def remove_folder(self, prefix: str) -> None:
        """Remove the folders without files below `prefix`, and itself if empty; remote stores have none."""
        if self._files is not None:
            self._files.remove_empty(checked_key(prefix))

    def folders(self, prefix: str, *, holding: str) -> list[str]:
        """The names of the folders directly below `prefix`, sorted, without looking at all that is in them.

        Of a local store, only those with a file `holding`; a remote one knows no folder without files.
        """
        above = checked_key(prefix)
        with translated_errors(f"list {prefix!r}", self.url):
            if self._files is not None:
                return sorted(self._files.folders(above, holding))
            found = obstore.list_with_delimiter(self._backend, above)["common_prefixes"]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    @contextmanager
    def spool(self) -> Iterator[IO[bytes]]:
        """A temporary file to write a blob to before it is put: in memory while it is small."""
        try:
            with tempfile.SpooledTemporaryFile(max_size=SPOOL) as file:
                yield cast("IO[bytes]", file)
        except OSError as error:
            raise store_error("prepare a blob in a temporary file for", self.url, error) from error

    @property
    def _sweeps(self) -> RemoteSweeps:
        return RemoteSweeps(self._backend)

    def _sizes(self, folder: str, but: set[str]) -> Iterator[tuple[str, int, float]]:
        if self._files is not None:
            yield from self._files.sizes(folder, but=but)
            return
        listed = obstore.list_with_delimiter(self._backend, folder or None)
        below = [path.rstrip("/") for path in listed["common_prefixes"]]
        pages = (
            page
            for path in below
            if path.rpartition("/")[2] not in but
            for page in obstore.list(self._backend, path)
        )
        for page in (listed["objects"], *pages):
            for found in page:
                yield found["path"], found["size"], changed(found)

    def _put(self, digest: Digest, size: int, body: Body) -> Digest:
        with translated_write_errors(f"write {digest}", self.url):
            if not self._is_stored(digest, size):
                self._write_blob(digest, body)
        return digest

    def _write_blob(self, digest: Digest, body: Body) -> None:
        if self._files is not None:
            # On the disk before any manifest can name it; and nobody writes to it by mistake.
            self._files.replace(blob_key(digest), body, flush=True, mode=0o444)
            return

        def put() -> None:
            if not isinstance(body, bytes | list):
                body.seek(0)
            obstore.put(self._backend, blob_key(digest), body)

        self._sweeps.write(digest, put)

    def _is_stored(self, digest: Digest, size: int) -> bool:
        recent = time.time() - self.grace / 2
        if self._files is None:
            found = self._sweeps.look(digest)
            # One that was cut short is written again, and so is one that might be removed soon.
            is_recent = found is not None and found["size"] == size and changed(found) > recent
            return is_recent and self._sweeps.stays(digest)
        return self._is_whole(digest, size, recent)

    def _is_whole(self, digest: Digest, size: int, recent: float) -> bool:
        """Whether a local blob is there, unaltered; if it is not `recent`, it gets the present time."""
        files = cast("LocalFiles", self._files)
        try:
            path = files.path(blob_key(digest))
            if path.stat().st_size != size:
                return False
            self._verify(digest, path)
            if path.stat().st_mtime > recent:
                return True
            if not files.touch(blob_key(digest)):
                return False
            self._verified[path] = _stamp(path.stat())
        except (FileNotFoundError, MissingArtifact, AlteredArtifact):
            return False
        return True

    @staticmethod
    def _read_blob(files: LocalFiles, key: str) -> bytes:
        try:
            return files.read(key)
        except FileNotFoundError:
            if not files.put_back(key):
                raise
            return files.read(key)

    def _remove(self, key: str, doing: str) -> None:
        with suppress(FileNotFoundError), translated_errors(doing, self.url):
            if self._files is not None:
                self._files.remove(key)
            else:
                obstore.delete(self._backend, key)

    def _fetch(self, digest: Digest) -> obstore.GetResult:
        try:
            with translated_errors(f"read {digest}", self.url):
                return obstore.get(self._backend, blob_key(digest))
        except FileNotFoundError as error:
            raise self._missing(digest) from error

    def _verify(self, digest: Digest, path: Path) -> None:
        try:
            with translated_errors(f"read {digest}", self.url):
                stamp = _stamp(path.stat())
                if self._verified.get(path) == stamp:
                    return
                with path.open("rb") as file:
                    actual = digest_of_file(file)
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        if actual != digest:
            raise self._altered(digest)
        self._verified[path] = stamp

    def _missing(self, digest: Digest) -> MissingArtifact:
        return MissingArtifact(f"artifact {digest} is not in the store {self.url}", hint=_AGAIN)

    def _altered(self, digest: Digest) -> AlteredArtifact:
        return AlteredArtifact(
            f"artifact {digest} in the store {self.url} does not match its digest: altered, or cut short",
            hint=_AGAIN,
        )


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
