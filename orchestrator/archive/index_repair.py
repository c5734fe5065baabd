"""Complete the index of runs: with runs of earlier versions, and with those whose line was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.archive.inventory import list_runs
from orchestrator.archive.run_index import RunSummary, add_segment, read_index
from orchestrator.archive.run_record import read_final
from orchestrator.archive.tombstone import pruned_runs
from orchestrator.artifacts import AlteredArtifact

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: Lines that are written at once, so that a process that is killed loses little.
TOGETHER = 500


def complete_index(store: ArtifactStore, stopped: Callable[[], bool] = lambda: False) -> int:
    """Enter each end of a run that the store has and the index does not; return how many there were.

    Once `stopped` says so, the rest is left. Raises StoreError.
    """
    entered, missing = 0, _missing(store, stopped)
    while summaries := list(islice(missing, TOGETHER)):
        add_segment(store, summaries)
        entered += len(summaries)
    return entered


def _missing(store: ArtifactStore, stopped: Callable[[], bool]) -> Iterator[RunSummary]:
    index, pruned = read_index(store), pruned_runs(store)
    for run, files in list_runs(store).items():
        known = index.get(run)
        if run in pruned or not files.submitted or files.recorded <= (-1 if known is None else known.round):
            continue
        if stopped():
            return
        try:
            final = read_final(store, run)
        except AlteredArtifact:
            continue  # a list says so, each time it comes across it
        if final is not None:
            yield RunSummary.of(final[0])
