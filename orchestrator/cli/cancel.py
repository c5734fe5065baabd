"""`cancel` stops a run."""

from __future__ import annotations

from orchestrator.cli.options import RunName


def cancel(run: RunName) -> None:
    """Stop a run: nothing of it starts any more, and what is running is terminated."""
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.cli.calling import as_called
    from orchestrator.cli.connection import reach
    from orchestrator.cli.errors import NoStack
    from orchestrator.cli.run_lookup import Records
    from orchestrator.lifecycle import ending
    from orchestrator.runs.errors import readable
    from orchestrator.runs.store import RunStore
    from orchestrator.settings import settings

    records = Records.open()
    name = records.resolve(run)
    url = records.join(name)
    if url is None:
        hint = "start the stack with `orchestrator up`, or set REDIS_URL"
        raise NoStack("there is no stack up, and no REDIS_URL, on which a run could be going on", hint=hint)
    runs = RunStore(reach(url), lease_seconds=settings().lease_seconds)
    with readable(name):
        at_work = ending.cancel(name, store=ArtifactStore(settings().store_url), runs=runs)
    ended = f"; {at_work} running stages are terminated" if at_work else ""
    print(as_called(f"cancelled {name}{ended}. Carry it on with: orchestrator resume {name}"))
