"""What is left to be written to MLflow of runs that have ended, on stacks that end with their command."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from orchestrator.archive.run_record import read_final, unconcluded_runs, write_final
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import Graph
from orchestrator.authoring.masking import mask_text
from orchestrator.cli.errors import NotConcluded
from orchestrator.cli.formatting import as_line
from orchestrator.cli.run_lookup import KnownRun
from orchestrator.coordinator.service import supervised
from orchestrator.lifecycle.ending import send_conclusion
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect_redis
from orchestrator.runs.reader import RunReader
from orchestrator.settings import apply_environment, settings
from orchestrator.stack import EmbeddedStack

#: Seconds that a private stack stays for runs of earlier ones; they are in no hurry.
EARLIER_RUNS_TIMEOUT = 5.0
#: Seconds that `resume` waits until a run is concluded, of which nothing else is left.
CONCLUSION_TIMEOUT = 60.0


def keep_unconcluded_record(reader: RunReader, run: RunId, graph: Graph) -> bool:
    """Keep how a run has ended that is not concluded, as its Redis is about to go; False if there is none."""
    record = reader.read(run, graph)
    if not record.state.over or reader.concluded(run):
        return False
    write_final(ArtifactStore(settings().store_url), record, reader.tracebacks(run))
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


def conclude_run(known: KnownRun, store: ArtifactStore, wished: Mapping[str, int], *, as_json: bool) -> None:
    """Have a run written to MLflow that has succeeded, on the stack that there is or on a private one."""
    run = known.record.id
    if settings().redis_url is not None:
        _send_and_wait(known, store)
    else:
        with EmbeddedStack.start(settings().home, wished, known.graph.queues) as stack:
            apply_environment(stack.environment())
            with supervised(settings(), stack.redis_url):
                _send_and_wait(known, store)
    final = read_final(store, run)
    if as_json and final is not None:
        print(as_line(dict(final[0].to_json())))
    else:
        print(f"{run} is written to MLflow; nothing was run again")


def _send_and_wait(known: KnownRun, store: ArtifactStore) -> None:
    run = known.record.id
    send_conclusion(run, connect_redis(str(settings().redis_url)), known.graph.queues)
    until = time.monotonic() + CONCLUSION_TIMEOUT
    while run in unconcluded_runs(store):
        if time.monotonic() > until:
            uri = mask_text(settings().tracking_uri)
            raise NotConcluded(
                f"run '{run}' has succeeded; MLflow at {uri} could not be told "
                f"within {CONCLUSION_TIMEOUT:.0f} s",
                hint="start MLflow, or correct MLFLOW_TRACKING_URI; the workers' logs say more",
            )
        time.sleep(0.05)
