"""`resume` carries a run on from what it has committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.options import AsJson, RunName, Slots, check_slots, slots_wished

if TYPE_CHECKING:
    from orchestrator.lifecycle.submission import Prepared
    from orchestrator.run_id import RunId
    from orchestrator.runs.store import RunStore


def resume(run: RunName, *, as_json: AsJson = False, slots: Slots = None) -> None:
    """Carry a run on that failed, was cancelled or lost its Redis; what is committed is not run again."""
    from orchestrator.archive.run_record import unconcluded_runs
    from orchestrator.archive.specification import Specification
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.cli.conclusions import conclude_only
    from orchestrator.cli.connection import join_stack, require_modules
    from orchestrator.cli.finding import find_pipeline
    from orchestrator.cli.run import start_here, start_privately
    from orchestrator.cli.run_lookup import Records
    from orchestrator.lifecycle.lost_outputs import lost_outputs
    from orchestrator.lifecycle.resume import send_round
    from orchestrator.lifecycle.submission import Prepared
    from orchestrator.runs.errors import NothingLeft, readable
    from orchestrator.runs.states import RunState
    from orchestrator.settings import settings
    from orchestrator.stack.state import carried_on_here

    wished = slots_wished(slots)
    check_slots(wished, settings().queues)
    stack = join_stack()
    records = Records.open()
    name = records.resolve(run)
    with carried_on_here(settings().home, name):
        known = records.get(name)
        store = ArtifactStore(settings().store_url)
        if known.record.state is RunState.SUCCEEDED and not lost_outputs(known.record, known.graph, store):
            if known.record.id in unconcluded_runs(store):
                conclude_only(known, store, wished, as_json=as_json)
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

        def begin(_: Prepared, runs: RunStore) -> RunId:
            with readable(specification.run):
                send_round(specification.run, store=store, runs=runs)
            return specification.run

        if settings().redis_url is None:
            start_privately(prepared, begin, wished, as_json=as_json)
        else:
            start_here(prepared, begin, stack=stack, as_json=as_json, resumed=specification.run)
