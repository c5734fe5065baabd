"""Prune the store: remove old runs, then the blobs that nothing refers to, while other runs go on.

Why that is safe stands in `docs/decisions/0053-pruning.md`. In short: a run is pruned by one write, its
tombstone, and who resumes it at the same time is noticed; references are searched in all that is left; and a
blob goes only if nobody has written it, or found it to be there, since before the oldest run that goes on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.archive.inventory import RUNS, RunFiles, list_run, list_runs
from orchestrator.archive.references import References, find_references, notes_of_columns
from orchestrator.archive.run_index import drop_from_index
from orchestrator.archive.run_record import remove_marks, unconcluded_runs
from orchestrator.archive.specification import pipeline_of
from orchestrator.archive.tombstone import Tombstone, pruned_runs, runs_being_pruned, withdraw_intent
from orchestrator.lifecycle.retention import Activity, Retention
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore, StoredBlob
    from orchestrator.runs.store import RunStore

log = logging.getLogger("orchestrator.prune")

#: Blobs removed together.
_TOGETHER = 256


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed, or would be. Sizes are in bytes."""

    runs: Mapping[RunId, int]  #: with the size of each one's files, its blobs not included
    blobs: int = 0
    blob_bytes: int = 0
    kept_blobs: int = 0  #: nothing refers to them, but they are too young to be sure
    kept_bytes: int = 0

    @property
    def size(self) -> int:
        """All of it, in bytes."""
        return sum(self.runs.values()) + self.blob_bytes


def prune(
    store: ArtifactStore,
    retention: Retention,
    redis: Sequence[RunStore],
    *,
    now: float,
    dry_run: bool = False,
    most: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Remove what the retention says, or with `dry_run` only tell what that is.

    `redis` are the stacks that may have runs of this store, `now` is in seconds since 1970. At most `most`
    runs are removed; once `stopped` says so, the rest is left. Killed at any point, it leaves a consistent
    store, and the next call goes on. Several at once do not harm each other.
    """
    if not dry_run:
        store.tidy()
    runs = list_runs(store)
    activity = Activity(store, redis, now)
    before = min(now, activity.oldest(runs)) - store.grace
    pruned = pruned_runs(store)
    if not dry_run:
        _withdraw_intents(runs, pruned, activity)
    remains = {run: files.size for run, files in runs.items() if run in pruned}
    leaving = {**remains, **dict(islice(_leaving(runs, pruned, retention, activity), most))}
    if not dry_run:
        leaving = {
            run: size
            for run, size in leaving.items()
            if not stopped() and _remove_run(run, retention, activity, is_pruned=run in pruned)
        }
        drop_from_index(store, pruned | set(leaving))
    if stopped():
        return Pruned(runs=leaving)
    references = find_references(store, without=leaving)
    doomed, kept = _unreferenced(store, references, before)
    if not dry_run:
        doomed = _remove_blobs(store, references, doomed, before, stopped)
    return Pruned(
        runs=leaving,
        blobs=len(doomed),
        blob_bytes=sum(blob.size for blob in doomed),
        kept_blobs=len(kept),
        kept_bytes=sum(blob.size for blob in kept),
    )


def _withdraw_intents(runs: Mapping[RunId, RunFiles], pruned: set[RunId], activity: Activity) -> None:
    """Remove what killed processes left beside tombstones, or beside runs that go on."""
    for run in runs_being_pruned(activity.store):
        if run in pruned or run not in runs or not activity.may_go(run, runs[run]):
            withdraw_intent(activity.store, run)


def _leaving(
    runs: Mapping[RunId, RunFiles], pruned: set[RunId], retention: Retention, activity: Activity
) -> Iterator[tuple[RunId, int]]:
    """The runs that may go, with the sizes of their files; first those that a killed process began with."""
    store, unconcluded = activity.store, unconcluded_runs(activity.store)
    left = {run: files for run, files in runs.items() if run not in pruned}
    begun = sorted(run for run in runs_being_pruned(store) if run in left)
    for run in dict.fromkeys([*begun, *retention.chosen(left, store, activity.now)]):
        if activity.may_go(run, left[run], unconcluded):
            yield run, left[run].size


def _remove_run(run: RunId, retention: Retention, activity: Activity, *, is_pruned: bool) -> bool:
    """Remove a run, or what a killed process left of one that `is_pruned`; False if it turns out to go on."""
    store = activity.store
    if is_pruned:
        remove_marks(store, run, sys.maxsize)
    elif not _bury(run, retention, activity):
        return False
    for key in store.keys(f"{RUNS}/{run}"):
        store.remove(key)
    store.remove_folder(f"{RUNS}/{run}")
    return True


def _bury(run: RunId, retention: Retention, activity: Activity) -> bool:
    """Write the run's tombstone, unless it goes on, or its resumption has begun; then False.

    A resumption stores its round and then looks for the intent; this stores the intent and then looks for
    rounds. So at least one of the two notices the other.
    """
    store = activity.store
    tombstone = Tombstone(
        run=run,
        pipeline=pipeline_of(store, run),
        pruned=datetime.fromtimestamp(activity.now, UTC),
        why=retention.why,
    )
    tombstone.intend(store)
    goes = activity.may_go(run, list_run(store, run)) and all(runs.forget(run) for runs in activity.redis)
    if goes:
        tombstone.write(store)
        extra = {"action": "run_pruned", "run": run}
        log.info("run %s is pruned: %s", run, retention.why, extra=extra)
    withdraw_intent(store, run)
    return goes


def _unreferenced(
    store: ArtifactStore, references: References, before: float
) -> tuple[list[StoredBlob], list[StoredBlob]]:
    """The blobs that nothing refers to: those that can be removed, and those that are too young."""
    doomed: list[StoredBlob] = []
    kept: list[StoredBlob] = []
    for blob in store.blobs():
        if blob.digest not in references:
            (doomed if blob.changed < before else kept).append(blob)
    return doomed, kept


def _remove_blobs(
    store: ArtifactStore,
    references: References,
    doomed: Iterable[StoredBlob],
    before: float,
    stopped: Callable[[], bool],
) -> list[StoredBlob]:
    """Remove cached results without a run, blobs, and what notes say of them; returns the blobs removed."""
    for key in references.orphans:
        store.remove(key)
    removed = []
    left = iter(doomed)
    while not stopped() and (some := list(islice(left, _TOGETHER))):
        gone = set(store.remove_blobs([blob.digest for blob in some], before))
        removed += [blob for blob in some if blob.digest in gone]
    if removed:
        for key in notes_of_columns(store, {blob.digest for blob in removed}):
            store.remove(key)
    return removed
