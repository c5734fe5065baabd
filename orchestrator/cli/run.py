"""`run` submits a pipeline and shows how it goes, on the stack that there is or on a private one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from orchestrator.cli.options import (
    AsJson,
    Parameters,
    PipelineName,
    Slots,
    check_slots,
    parameters_of,
    slots_wished,
)

if TYPE_CHECKING:
    from orchestrator.cli.follow import View
    from orchestrator.lifecycle.submission import Prepared
    from orchestrator.run_id import RunId
    from orchestrator.runs.record import RunRecord
    from orchestrator.runs.store import RunStore
    from orchestrator.stack import EmbeddedStack
    from orchestrator.stack.state import StackState

Detach = Annotated[
    bool, typer.Option("--detach", help="Submit only; needs `orchestrator up` or a REDIS_URL.")
]

Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Whether results of earlier runs may be taken.")
]

#: Sends a run and returns its id.
Begin: TypeAlias = "Callable[[Prepared, RunStore], RunId]"


def run(
    pipeline: PipelineName,
    *,
    parameters: Parameters = None,
    detach: Detach = False,
    as_json: AsJson = False,
    slots: Slots = None,
    cache: Cache = True,
) -> None:
    """Run a pipeline, and show its progress.

    It runs on the Redis of REDIS_URL, else on the stack that is up, else on a private one that ends with it.
    Exit status: 0 when the run succeeded, 1 when it failed, 2 when it could not be started.
    With --json, the last line of the output is the run.
    """
    from orchestrator.cli.connection import join_stack, require_modules
    from orchestrator.cli.finding import find_pipeline
    from orchestrator.cli.messages import doing, note
    from orchestrator.lifecycle.submission import prepare
    from orchestrator.settings import settings
    from orchestrator.stack.state import carried_on_here

    given, wished = parameters_of(parameters), slots_wished(slots)
    check_slots(wished, settings().queues)
    with doing(f"checking {pipeline}"):
        found = find_pipeline(pipeline)
        prepared = prepare(found, given, queues=settings().queues, cache=cache)
    stack = join_stack()
    if stack is not None:
        require_modules(stack, found.module)
    if settings().redis_url is None:
        with ExitStack() as held:

            def submit_here(prepared: Prepared, runs: RunStore) -> RunId:
                run = _submit(prepared, runs)
                held.enter_context(carried_on_here(settings().home, run))
                return run

            start_privately(prepared, submit_here, wished, detach=detach, as_json=as_json)
        return
    if wished:
        note("--slots is for the stack that `run` or `up` starts; this run goes to workers that are there")
    if detach:
        _detach(prepared, _submit, as_json=as_json)
    else:
        start_here(prepared, _submit, stack=stack, as_json=as_json)


def start_privately(
    prepared: Prepared, begin: Begin, wished: Mapping[str, int], *, detach: bool = False, as_json: bool
) -> None:
    """Run it on a stack of its own, which is gone afterwards."""
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.cli.conclusions import concluding_earlier
    from orchestrator.cli.errors import NoStack
    from orchestrator.coordinator.service import supervised
    from orchestrator.settings import settings, take_part
    from orchestrator.stack import EmbeddedStack

    if detach:
        hint = "start one that stays with `orchestrator up`, or set REDIS_URL"
        raise NoStack("--detach: the private stack of a run ends with the command", hint=hint)
    modules = {node.stage.rpartition(".")[0] for node in prepared.graph}
    os.environ["ORCHESTRATOR_PIPELINES"] = ",".join(sorted(modules))  # the workers need no others
    with EmbeddedStack.start(settings().home, wished, prepared.graph.queues) as stack:
        take_part(stack.environment())
        store = ArtifactStore(settings().store_url)
        with (
            stack.known_to_others(),
            supervised(settings(), stack.redis_url),
            concluding_earlier(store),
        ):
            start_here(prepared, begin, as_json=as_json, private=stack)


def start_here(
    prepared: Prepared,
    begin: Begin,
    *,
    stack: StackState | None = None,
    as_json: bool,
    private: EmbeddedStack | None = None,
    resumed: RunId | None = None,
) -> None:
    """Run it on the Redis of the settings, and exit with 1 unless it succeeds.

    Of a run that is `resumed`, what happened before is not told again.
    """
    from orchestrator.cli import INTERRUPTED
    from orchestrator.cli.conclusions import keep_unconcluded
    from orchestrator.cli.consoles import errors, output
    from orchestrator.cli.follow import Follower
    from orchestrator.cli.formatting import as_line, between, words
    from orchestrator.cli.queue_watch import START, QueueWatch, being_replaced, start_one, still_starting
    from orchestrator.cli.summary import print_summary
    from orchestrator.cli.tracking_links import ways_to_open
    from orchestrator.runs.reader import RunReader
    from orchestrator.runs.states import RunState
    from orchestrator.settings import settings

    runs = _open_runs()
    reader = RunReader(runs.client)
    if private is not None:
        watch = QueueWatch(runs.client, advice=still_starting, patience=START)
    elif stack is not None:
        watch = QueueWatch(runs.client, advice=being_replaced(stack.slots))
    else:
        watch = QueueWatch(runs.client, advice=start_one)
    with _view(prepared, runs, as_json=as_json) as view:
        since = reader.position(resumed) if resumed else "0"
        run = begin(prepared, runs)
        view.say(f"resumed {run}" if resumed else f"submitted {run}")
        follower = Follower(run, prepared.graph, reader, view, watch, since)
        if private is not None:
            follower.check_stack, follower.workers_stay = private.check, False
        try:
            record = follower.follow()
        except KeyboardInterrupt:
            ended = private is not None and keep_unconcluded(reader, run, prepared.graph)
            _tell_interrupted(run, private=private is not None, ended=ended)
            raise typer.Exit(INTERRUPTED) from None
        if private is not None:
            keep_unconcluded(reader, run, prepared.graph)
    if as_json:
        errors().print(f"{record.id} {words(record.state.value)} in {between(record.started, record.ended)}")
        print(as_line(dict(record.to_json())), flush=True)
    else:
        ways = ways_to_open(record.mlflow_run_id, settings(), stack.mlflow_url if stack else None)
        print_summary(output(), record, prepared.graph, mlflow=ways)
    if record.state is not RunState.SUCCEEDED:
        raise typer.Exit(1)


def _detach(prepared: Prepared, begin: Begin, *, as_json: bool) -> None:
    from orchestrator.cli.calling import as_called
    from orchestrator.cli.formatting import as_line
    from orchestrator.runs.reader import RunReader

    runs = _open_runs()
    run = begin(prepared, runs)
    if as_json:
        record: RunRecord = RunReader(runs.client).read(run, prepared.graph)
        print(as_line(dict(record.to_json())))
    else:
        print(as_called(f"submitted {run}; follow it with: orchestrator logs {run} --follow"))


def _open_runs() -> RunStore:
    """The runs in the Redis of the settings, which is fit to keep them; raises RedisUnreachable."""
    from orchestrator.cli.connection import reach_for_work
    from orchestrator.runs.store import RunStore
    from orchestrator.settings import settings

    return RunStore(reach_for_work(str(settings().redis_url)), lease_seconds=settings().lease_seconds)


def _submit(prepared: Prepared, runs: RunStore) -> RunId:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.lifecycle.submission import submit
    from orchestrator.settings import settings

    return submit(prepared, store=ArtifactStore(settings().store_url), runs=runs)


@contextmanager
def _view(prepared: Prepared, runs: RunStore, *, as_json: bool) -> Iterator[View]:
    """A live tree on a terminal; plain lines elsewhere, on stderr where stdout is for JSON."""
    from orchestrator.cli.consoles import errors, output
    from orchestrator.cli.plain import PlainProgress

    console = errors() if as_json else output()
    if as_json or not console.is_terminal or console.is_dumb_terminal:
        yield PlainProgress(console, prepared.graph)
        return
    from orchestrator.cli.progress import LiveProgress

    with LiveProgress(console, prepared.graph, ahead=_ahead(runs)) as live:
        yield live


def _ahead(runs: RunStore):  # type: ignore[no-untyped-def]
    """How far Redis's clock is ahead of ours."""
    import time
    from datetime import timedelta

    seconds, microseconds = runs.client.time()
    return timedelta(seconds=seconds + microseconds / 1e6 - time.time())


def _tell_interrupted(run: RunId, *, private: bool, ended: bool) -> None:
    import sys

    from orchestrator.cli.calling import as_called
    from orchestrator.cli.follow import written_later

    if ended:
        told = f"interrupted: {run} has ended, and that is final; {written_later(run)}"
    elif private:
        told = (
            f"interrupted: {run} stops with its private stack; what it finished is kept, and goes on with: "
            f"orchestrator resume {run}"
        )
    else:
        told = f"interrupted: {run} goes on without us; follow it with: orchestrator logs {run} --follow"
    print(as_called(told), file=sys.stderr)
