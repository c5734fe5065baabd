"""Which blobs are referred to: every digest that stands in any file of the store.

Files are searched as text, whatever they are: manifests, items, outboxes, cached results, files that cannot
be parsed, and those of later versions. What only looks like a reference keeps a blob, but no reference is
overlooked because its file has an unknown form.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.archive.cached_results import CACHE, owners
from orchestrator.archive.inventory import RUNS, run_and_name
from orchestrator.archive.logs import is_log
from orchestrator.archive.run_index import INDEX
from orchestrator.archive.specification import is_specification
from orchestrator.archive.tombstone import PRUNED
from orchestrator.artifacts.digest import Digest
from orchestrator.artifacts.keys import COLUMN_NOTES
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")
#: Files read at once from a remote store.
_THREADS = 16
_MANY = 1024


@dataclass
class References:
    """The blobs that are referred to, and the cached results whose runs are gone."""

    digests: set[bytes] = field(default_factory=set)  #: as 32 bytes: there may be many
    orphans: list[str] = field(default_factory=list)  #: keys of cached results

    def __contains__(self, digest: Digest) -> bool:
        return bytes.fromhex(digest.partition(":")[2]) in self.digests

    def add(self, data: bytes) -> None:
        """Add what a file refers to."""
        self.digests.update(bytes.fromhex(found.decode()) for found in _DIGEST.findall(data))


def find_references(store: ArtifactStore, *, without: Collection[RunId]) -> References:
    """Search all files but those of the runs in `without`, and cached results that belong to no other run."""
    found, there = References(), set[RunId]()
    for _, data in _read(store, _keys_of_runs(store, without, there)):
        found.add(data)
    cached = (each.key for each in store.objects(CACHE))
    for key, data in _read(store, cached):
        if owners(data) & there:
            found.add(data)
        else:
            found.orphans.append(key)
    others = store.objects(but=(RUNS, CACHE, INDEX, PRUNED, COLUMN_NOTES))
    for _, data in _read(store, (each.key for each in others)):
        found.add(data)
    return found


def notes_of_columns(store: ArtifactStore, removed: Collection[Digest]) -> Iterator[str]:
    """Yield the keys of the notes that name a removed blob as what a table's column is kept in."""
    for key, data in _read(store, (each.key for each in store.objects(COLUMN_NOTES))):
        if any(f"sha256:{name.decode()}" in removed for name in _DIGEST.findall(data)):
            yield key


def _keys_of_runs(store: ArtifactStore, without: Collection[RunId], there: set[RunId]) -> Iterator[str]:
    """The files of runs that may name blobs; the runs are added to `there`."""
    for each in store.objects(RUNS):
        run, name = run_and_name(each.key)
        if run not in without:
            if is_specification(name):
                there.add(run)
            if not is_log(name):
                yield each.key


def _read(store: ArtifactStore, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Files as they are read; those that have gone meanwhile are left out."""
    left = iter(keys)
    with ThreadPoolExecutor(1 if store.is_local else _THREADS) as threads:
        while some := list(islice(left, _MANY)):
            read = map(store.read, some) if store.is_local else threads.map(store.read, some)
            for key, data in zip(some, read, strict=True):
                if data is not None:
                    yield key, data
