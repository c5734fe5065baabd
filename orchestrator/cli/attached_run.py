"""Sends a run and shows its progress until it is over, on the Redis of the settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import typer

from orchestrator.cli import INTERRUPTED
from orchestrator.cli.conclusions import keep_unconcluded_record
from orchestrator.cli.summary import print_summary, ways_to_open
from orchestrator.client.connection import open_runs
from orchestrator.client.consoles import errors, output
from orchestrator.client.follow import Follower, View, how_to_conclude
from orchestrator.client.formatting import as_line, elapsed, state_label
from orchestrator.client.program import with_program_name
from orchestrator.client.progress_lines import PlainProgress
from orchestrator.client.progress_tree import LiveProgress
from orchestrator.client.queue_watch import (
    START,
    QueueWatch,
    advise_starting_worker,
    being_replaced,
    still_starting,
)
from orchestrator.client.waiting import clock_offset
from orchestrator.lifecycle.submission import Prepared
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import RunState
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

if TYPE_CHECKING:
    from orchestrator.stack.embedded import EmbeddedStack
    from orchestrator.stack_state import StackState

#: Sends a run to the workers of a Redis, and returns its id.
Send: TypeAlias = Callable[[RunStore], RunId]


def run_attached(
    prepared: Prepared,
    send: Send,
    *,
    stack: StackState | None = None,
    as_json: bool,
    private: EmbeddedStack | None = None,
    resumed: RunId | None = None,
) -> None:
    """Send the run, show its progress and its outcome, and exit with 1 unless it succeeds.

    `stack` is the local stack that it runs on, and `private` the one that ends with it, if there is one.
    Of a run that is `resumed`, events of earlier rounds are not shown again.
    """
    runs = open_runs()
    reader = RunReader(runs.client)
    watch = _queue_watch(runs, stack, private)
    with _progress_view(prepared, runs, as_json=as_json) as view:
        position = reader.position(resumed) if resumed else "0"
        run = send(runs)
        view.say(f"resumed {run}" if resumed else f"submitted {run}")
        follower = Follower(run, prepared.graph, reader, view, watch, position)
        if private is not None:
            follower.check_stack, follower.workers_stay = private.check, False
        try:
            record = replace(follower.follow(), labels=prepared.labels)
        except KeyboardInterrupt:
            ended = private is not None and keep_unconcluded_record(reader, run, prepared.graph)
            _print_interrupted(run, private=private is not None, ended=ended)
            raise typer.Exit(INTERRUPTED) from None
        if private is not None:
            keep_unconcluded_record(reader, run, prepared.graph)
    if as_json:
        errors().print(
            f"{record.id} {state_label(record.state.value)} in {elapsed(record.started, record.ended)}"
        )
        print(as_line(dict(record.to_json())), flush=True)
    else:
        ways = ways_to_open(record.mlflow_run_id, settings(), stack.mlflow_url if stack else None)
        print_summary(output(), record, prepared.graph, mlflow=ways)
    if record.state is not RunState.SUCCEEDED:
        raise typer.Exit(1)


def _queue_watch(runs: RunStore, stack: StackState | None, private: EmbeddedStack | None) -> QueueWatch:
    """Watches for queues without workers, with advice that fits the stack."""
    if private is not None:
        return QueueWatch(runs.client, advice=still_starting, patience=START)
    if stack is not None:
        return QueueWatch(runs.client, advice=being_replaced(stack.slots))
    return QueueWatch(runs.client, advice=advise_starting_worker)


@contextmanager
def _progress_view(prepared: Prepared, runs: RunStore, *, as_json: bool) -> Iterator[View]:
    """A live tree on a terminal; plain lines elsewhere, on stderr where stdout is for JSON."""
    console = errors() if as_json else output()
    if as_json or not console.is_terminal or console.is_dumb_terminal:
        yield PlainProgress(console, prepared.graph)
        return
    with LiveProgress(console, prepared.graph, ahead=clock_offset(RunReader(runs.client))) as live:
        yield live


def _print_interrupted(run: RunId, *, private: bool, ended: bool) -> None:
    if ended:
        told = f"interrupted: {run} has ended, and that is final; {how_to_conclude(run)}"
    elif private:
        told = (
            f"interrupted: {run} stops with its private stack; what it finished is kept, and goes on with: "
            f"orchestrator resume {run}"
        )
    else:
        told = f"interrupted: {run} goes on without us; follow it with: orchestrator logs {run} --follow"
    print(with_program_name(told), file=sys.stderr)
