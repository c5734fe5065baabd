"""Removes blobs of a remote store in a way that no writer relies on one that is about to go.

An object store deletes by name, whatever is there by then: between the look at a blob's time and its removal
somebody may have written it anew. So a sweep leaves a mark before it looks, and removes it after its last
removal; and who has written a blob, or seen one that somebody else has just written, looks for marks, waits
until those that it sees are gone, and then looks for the blob. A sweep looks and removes within a time that
is shorter than a writer waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

import obstore

from orchestrator.artifacts.digest import Digest, blob_key
from orchestrator.artifacts.errors import StoreUnavailable
from orchestrator.artifacts.local_files import CONDEMNED

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from orchestrator.artifacts.backend import Backend

#: Requests at once.
THREADS = 16
#: Seconds after its mark until which a sweep begins a removal, which obstore tries for up to 30 s.
SWEEP_SECONDS = 20.0
#: Seconds that a writer waits for a mark: then its sweep has been killed.
PATIENCE = 90.0
_PACE = 0.25
#: How often a blob is written that then is not there; one sweep can remove it once.
_TRIES = 5


@dataclass(frozen=True)
class RemoteSweeps:
    """The sweeps of one remote store, and its writers' regard for them."""

    backend: Backend

    def remove(self, digests: Iterable[Digest], before: float) -> list[Digest]:
        """Remove those of these blobs that were last written before `before`, seconds since 1970.

        Returns those that were removed; what is not begun in time is left, for a later sweep.
        """
        mark = f"{CONDEMNED}/{token_hex(8)}"
        until = time.monotonic() + SWEEP_SECONDS
        obstore.put(self.backend, mark, b"sweep")

        def removed(digest: Digest) -> bool:
            found = self.look(digest)
            if found is None or changed(found) >= before or time.monotonic() > until:
                return False
            obstore.delete(self.backend, blob_key(digest))
            return True

        try:
            every = list(digests)
            with ThreadPoolExecutor(THREADS) as threads:
                return [
                    digest for digest, gone in zip(every, threads.map(removed, every), strict=True) if gone
                ]
        finally:
            self._remove_mark(mark)

    def write(self, digest: Digest, put: Callable[[], object]) -> None:
        """Write a blob by calling `put`, again if a sweep has removed it; raises StoreUnavailable."""
        for _ in range(_TRIES):
            put()
            if self.stays(digest):
                return
        raise StoreUnavailable(f"{digest} is not in the store, although it has just been written there")

    def stays(self, digest: Digest) -> bool:
        """Whether a blob that was just written, or seen with a recent time, is there to stay.

        Sweeps that may have looked at an older one have marks, or are over; later ones see its time.
        """
        if marks := self._marks():
            self._wait(marks)
        return self.look(digest) is not None

    def look(self, digest: Digest) -> ObjectMeta | None:
        """What the store says of a blob; None if it is not there."""
        try:
            return obstore.head(self.backend, blob_key(digest))
        except FileNotFoundError:
            return None

    def tidy(self) -> None:
        """Remove the marks of sweeps that were killed."""
        oldest = time.time() - 3600
        for page in obstore.list(self.backend, CONDEMNED):
            for mark in page:
                if changed(mark) < oldest:
                    self._remove_mark(mark["path"])

    def _wait(self, marks: set[str]) -> None:
        """Wait until these marks are gone, and remove those that stay."""
        until = time.monotonic() + PATIENCE
        while left := marks & self._marks():
            if time.monotonic() > until:
                for mark in left:
                    self._remove_mark(mark)
                return
            time.sleep(_PACE)

    def _marks(self) -> set[str]:
        return {mark["path"] for page in obstore.list(self.backend, CONDEMNED) for mark in page}

    def _remove_mark(self, mark: str) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self.backend, mark)


def changed(found: ObjectMeta) -> float:
    """When an object was written last, in seconds since 1970."""
    return found["last_modified"].timestamp()
