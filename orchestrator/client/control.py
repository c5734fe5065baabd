"""Cancels and resumes a run on the stack that has it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.archive.run_record import unconcluded_runs
from orchestrator.artifacts import ArtifactStore
from orchestrator.client.connection import open_runs
from orchestrator.client.errors import NoStack
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.lifecycle import ending
from orchestrator.messaging.app import follow_settings
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect_redis
from orchestrator.runs.errors import NothingLeft, readable
from orchestrator.runs.states import RunState
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from orchestrator.stack_state import run_lock

START = "start the stack with `orchestrator up`, or set REDIS_URL"


@dataclass(frozen=True)
class Left:
    """What is left of a run that may be resumed."""

    known: KnownRun
    only_conclusion: bool  #: all is done, and MLflow does not know it yet


def cancel(records: Records, run: RunId) -> int:
    """Cancel a run on the Redis that has it; returns how many running stages are terminated.

    Raises NoStack, UnknownRun, RunIsOver.
    """
    url = records.join(run)
    if url is None:
        raise NoStack("there is no stack up, and no REDIS_URL, on which a run could be going on", hint=START)
    follow_settings()
    runs = RunStore(connect_redis(url), lease_seconds=settings().lease_seconds)
    with readable(run):
        return ending.cancel(run, store=ArtifactStore(settings().store_url), runs=runs)


def what_is_left(records: Records, run: RunId, store: ArtifactStore) -> Left:
    """What there is to resume of a run; raises NothingLeft."""
    from orchestrator.lifecycle.lost_outputs import lost_outputs

    known = records.get(run)
    record = known.record
    if record.state is RunState.SUCCEEDED and not lost_outputs(record, known.graph, store):
        if run not in unconcluded_runs(store):
            raise NothingLeft(f"run '{run}' has succeeded: there is nothing left to do")
        return Left(known, only_conclusion=True)
    if record.state is RunState.RUNNING and not known.unfinished:
        raise NothingLeft(
            f"run '{run}' is going on", hint=f"follow it with: orchestrator logs {run} --follow"
        )
    return Left(known, only_conclusion=False)


def send_again(run: RunId, store: ArtifactStore, runs: RunStore) -> RunId:
    """Send what is left of a run as a new round."""
    from orchestrator.lifecycle.resume import send_round

    with readable(run):
        send_round(run, store=store, runs=runs)
    return run


def resume(records: Records, run: RunId) -> None:
    """Carry a run on, on the Redis of the settings; raises NoStack, NothingLeft."""
    if settings().redis_url is None:
        raise NoStack(f"there is no stack on which run '{run}' could be carried on", hint=START)
    follow_settings()
    store = ArtifactStore(settings().store_url)
    with run_lock(settings().home, run):
        left = what_is_left(records, run, store)
        runs = open_runs()
        if left.only_conclusion:
            ending.send_conclusion(run, runs.client, left.known.graph.queues)
        else:
            send_again(run, store, runs)
