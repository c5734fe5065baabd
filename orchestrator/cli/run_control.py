"""`cancel` stops a run; `resume` carries it on from what it has committed."""

from __future__ import annotations

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.cli.options import AsJson, RunName, Slots, check_slots, parse_slots
from orchestrator.client import control
from orchestrator.client.connection import join_stack, require_modules
from orchestrator.client.pipeline_lookup import find_pipeline
from orchestrator.client.program import with_program_name
from orchestrator.client.run_lookup import Records
from orchestrator.lifecycle.submission import Prepared
from orchestrator.run_id import RunId
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from orchestrator.stack_state import run_lock


def cancel(run: RunName) -> None:
    """Stop a run: nothing of it starts any more, and what is running is terminated."""
    records = Records.open()
    name = records.resolve(run)
    at_work = control.cancel(records, name)
    ended = f"; {at_work} running stages are terminated" if at_work else ""
    print(with_program_name(f"cancelled {name}{ended}. Carry it on with: orchestrator resume {name}"))


def resume(run: RunName, *, as_json: AsJson = False, slots: Slots = None) -> None:
    """Carry a run on that failed, was cancelled or lost its Redis; what is committed is not run again."""
    from orchestrator.cli.attached_run import (
        run_attached,  # loads rich and more, which `cancel` does not need
    )
    from orchestrator.cli.private_run import conclude_run, run_on_private_stack

    wished = parse_slots(slots)
    check_slots(wished, settings().queues)
    stack = join_stack()
    records = Records.open()
    name = records.resolve(run)
    with run_lock(settings().home, name):
        store = ArtifactStore(settings().store_url)
        left = control.what_is_left(records, name, store)
        if left.only_conclusion:
            conclude_run(left.known, store, wished, as_json=as_json)
            return
        module = find_pipeline(left.known.record.pipeline).module
        if stack is not None:
            require_modules(stack, module)
        specification = Specification.read(store, name)
        prepared = Prepared(specification.graph, specification.parameters, labels=specification.labels)

        def send(runs: RunStore) -> RunId:
            return control.send_again(name, store, runs)

        if settings().redis_url is None:
            run_on_private_stack(prepared, send, wished, as_json=as_json)
        else:
            run_attached(prepared, send, stack=stack, as_json=as_json, resumed=name)
