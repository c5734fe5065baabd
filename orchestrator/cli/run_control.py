"""`cancel` stops a run; `resume` carries it on from what it has committed."""

from __future__ import annotations

from orchestrator.archive.run_record import unconcluded_runs
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.cli.connection import join_stack, require_modules
from orchestrator.cli.errors import NoStack
from orchestrator.cli.messages import with_program_name
from orchestrator.cli.options import AsJson, RunName, Slots, check_slots, parse_slots
from orchestrator.cli.pipeline_lookup import find_pipeline
from orchestrator.cli.run_lookup import Records
from orchestrator.lifecycle import ending
from orchestrator.lifecycle.submission import Prepared
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect_redis
from orchestrator.runs.errors import NothingLeft, readable
from orchestrator.runs.states import RunState
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from orchestrator.stack.state import run_lock


def cancel(run: RunName) -> None:
    """Stop a run: nothing of it starts any more, and what is running is terminated."""
    records = Records.open()
    name = records.resolve(run)
    url = records.join(name)
    if url is None:
        hint = "start the stack with `orchestrator up`, or set REDIS_URL"
        raise NoStack("there is no stack up, and no REDIS_URL, on which a run could be going on", hint=hint)
    runs = RunStore(connect_redis(url), lease_seconds=settings().lease_seconds)
    with readable(name):
        at_work = ending.cancel(name, store=ArtifactStore(settings().store_url), runs=runs)
    ended = f"; {at_work} running stages are terminated" if at_work else ""
    print(with_program_name(f"cancelled {name}{ended}. Carry it on with: orchestrator resume {name}"))


def resume(run: RunName, *, as_json: AsJson = False, slots: Slots = None) -> None:
    """Carry a run on that failed, was cancelled or lost its Redis; what is committed is not run again."""
    from orchestrator.cli.attached_run import (
        run_attached,  # loads rich and more, which `cancel` does not need
    )
    from orchestrator.cli.private_run import conclude_run, run_on_private_stack
    from orchestrator.lifecycle.lost_outputs import lost_outputs
    from orchestrator.lifecycle.resume import send_round

    wished = parse_slots(slots)
    check_slots(wished, settings().queues)
    stack = join_stack()
    records = Records.open()
    name = records.resolve(run)
    with run_lock(settings().home, name):
        known = records.get(name)
        store = ArtifactStore(settings().store_url)
        if known.record.state is RunState.SUCCEEDED and not lost_outputs(known.record, known.graph, store):
            if known.record.id in unconcluded_runs(store):
                conclude_run(known, store, wished, as_json=as_json)
                return
            raise NothingLeft(f"run '{known.record.id}' has succeeded: there is nothing left to do")
        if known.record.state is RunState.RUNNING and not known.unfinished:
            hint = f"follow it with: orchestrator logs {known.record.id} --follow"
            raise NothingLeft(f"run '{known.record.id}' is going on", hint=hint)
        module = find_pipeline(known.record.pipeline).module
        if stack is not None:
            require_modules(stack, module)
        specification = Specification.read(store, known.record.id)
        prepared = Prepared(specification.graph, specification.parameters)

        def send(runs: RunStore) -> RunId:
            with readable(specification.run):
                send_round(specification.run, store=store, runs=runs)
            return specification.run

        if settings().redis_url is None:
            run_on_private_stack(prepared, send, wished, as_json=as_json)
        else:
            run_attached(prepared, send, stack=stack, as_json=as_json, resumed=specification.run)
