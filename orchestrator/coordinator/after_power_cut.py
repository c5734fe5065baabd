"""Compare Redis with the store for unfinished runs after a power cut, before workers continue them.

Outputs of less than a second's work are not flushed to disk. After a power cut, Redis may have such a node as
succeeded although its manifest is empty: its successors would fail, and the run with them. Redis flushes its
append-only file once a second: it may lack a node whose manifest exists, and that node would run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import RunState

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def runs_at_work(redis_url: str) -> list[RunId]:
    """Return the open runs, and those that have ended and are not concluded yet."""
    reader = RunReader(connect(redis_url))
    return sorted({*reader.open_runs(), *reader.unconcluded_runs()})


def send_what_differs_again(at_work: Iterable[RunId], settings: Settings, redis_url: str) -> Iterator[str]:
    """Start a new round of each run whose finished nodes differ between Redis and store; yield messages.

    No worker may be running their stages. A run that cannot be checked does not affect the others.
    """
    from orchestrator.archive.specification import Specification
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.lifecycle.lost_outputs import differences
    from orchestrator.lifecycle.resume import send_round
    from orchestrator.runs.store import RunStore

    client = connect(redis_url)
    store, reader = ArtifactStore(settings.store_url), RunReader(client)
    runs = RunStore(client, lease_seconds=settings.lease_seconds)
    for run in at_work:
        try:
            state = reader.state(run)
            if reader.is_handling_failure(run) or (state.over and state is not RunState.SUCCEEDED):
                continue  # it has failed or was cancelled: `resume` checks all of it
            graph = Specification.read(store, run).graph
            found = differences(reader.read(run, graph), graph, store)
            if found.lost or found.forgotten:
                send_round(run, store=store, runs=runs, ended_otherwise=reader.ended_otherwise(run))
            lost, forgotten = len(found.lost), len(found.forgotten)
            if lost:
                yield f"run {run}: outputs of {lost} nodes did not reach the disk; they are made again"
            if forgotten:
                yield f"run {run}: {forgotten} nodes that were not recorded as done are; they stay so"
        except Exception as error:  # noqa: BLE001 - user code that cannot be imported must not keep a stack down
            yield f"run {run} cannot be looked at: {type(error).__name__}: {error}"
