"""What is left to be written to MLflow of runs that have ended, on stacks that end with their command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import typer

from orchestrator.archive.run_record import unconcluded_runs, write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import Graph
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.settings import settings

#: Seconds that a private stack stays for runs of earlier ones; they are in no hurry.
EARLIER_RUNS_TIMEOUT = 5.0


def keep_unconcluded_record(reader: RunReader, run: RunId, graph: Graph) -> bool:
    """Keep how a run has ended that is not concluded, as its Redis is about to go; False if there is none."""
    record = reader.read(run, graph)
    if not record.state.over or reader.concluded(run):
        return False
    store = ArtifactStore(settings().store_url)
    labels = Specification.read(store, run).labels
    write_final(store, replace(record, labels=labels), reader.tracebacks(run))
    return True


@contextmanager
def conclude_earlier_runs(store: ArtifactStore) -> Iterator[None]:
    """Behind the block, give the stack a moment for runs that earlier ones have left unconcluded.

    Its supervisor has them concluded. MLflow is taken to be away if not even the block's own run could be.
    """
    earlier = unconcluded_runs(store)
    try:
        yield
    except typer.Exit as leaving:
        if leaving.exit_code != 1:
            raise
        _wait(store, earlier)
        raise
    else:
        _wait(store, earlier)


def _wait(store: ArtifactStore, earlier: frozenset[RunId]) -> None:
    until = time.monotonic() + EARLIER_RUNS_TIMEOUT
    while (left := unconcluded_runs(store)) & earlier and left <= earlier and time.monotonic() < until:
        time.sleep(0.05)
