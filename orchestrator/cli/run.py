"""`run` submits a pipeline and shows its progress, on the stack that there is or on a private one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import typer

from orchestrator.artifacts import ArtifactStore
from orchestrator.cli.messages import print_note, show_activity
from orchestrator.cli.options import (
    AsJson,
    Like,
    Note,
    Parameters,
    ParametersFile,
    PipelineName,
    RunLabel,
    Slots,
    Tags,
    check_slots,
    gather_parameters,
    parse_parameters,
    parse_slots,
    parse_tags,
)
from orchestrator.client.connection import join_stack, open_runs, require_modules
from orchestrator.client.errors import NoStack
from orchestrator.client.formatting import as_line
from orchestrator.client.pipeline_lookup import find_pipeline
from orchestrator.client.program import with_program_name
from orchestrator.lifecycle.submission import Prepared, prepare, submit
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import Labels
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from orchestrator.stack_state import run_lock

Detach = Annotated[
    bool, typer.Option("--detach", help="Submit only; needs `orchestrator up` or a REDIS_URL.")
]
Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Whether results of earlier runs may be taken.")
]


def run(
    pipeline: PipelineName,
    *,
    parameters: Parameters = None,
    parameters_file: ParametersFile = None,
    like: Like = None,
    name: RunLabel = "",
    tags: Tags = None,
    note: Note = "",
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
    slots_by_queue = parse_slots(slots)
    labels = Labels(name=name, tags=parse_tags(tags), note=note)
    given = parse_parameters(parameters)  # what is written wrong is told before a module is imported
    check_slots(slots_by_queue, settings().queues)
    with show_activity(f"checking {pipeline}"):
        found = find_pipeline(pipeline)
        gathered = gather_parameters(found, given, file=parameters_file, like=like)
        prepared = prepare(found, gathered, queues=settings().queues, cache=cache, labels=labels)
    stack = join_stack()
    if stack is not None:
        require_modules(stack, found.module)

    def send(runs: RunStore) -> RunId:
        return submit(prepared, store=ArtifactStore(settings().store_url), runs=runs)

    if settings().redis_url is None:
        if detach:
            hint = "start one that stays with `orchestrator up`, or set REDIS_URL"
            raise NoStack("--detach: the private stack of a run ends with the command", hint=hint)
        from orchestrator.cli.private_run import run_on_private_stack  # loads all that a stack needs

        with ExitStack() as locks:

            def send_and_lock(runs: RunStore) -> RunId:
                run = send(runs)
                locks.enter_context(run_lock(settings().home, run))
                return run

            run_on_private_stack(prepared, send_and_lock, slots_by_queue, as_json=as_json)
        return
    if slots_by_queue:
        print_note(
            "--slots is for the stack that `run` or `up` starts; this run goes to workers that are there"
        )
    if detach:
        _run_detached(prepared, send, as_json=as_json)
    else:
        from orchestrator.cli.attached_run import run_attached  # loads rich, which --detach does not need

        run_attached(prepared, send, stack=stack, as_json=as_json)


def _run_detached(prepared: Prepared, send: Callable[[RunStore], RunId], *, as_json: bool) -> None:
    """Send the run and leave it to the workers that are there."""
    runs = open_runs()
    run = send(runs)
    if as_json:
        record = replace(RunReader(runs.client).read(run, prepared.graph), labels=prepared.labels)
        print(as_line(dict(record.to_json())))
    else:
        print(with_program_name(f"submitted {run}; follow it with: orchestrator logs {run} --follow"))
