"""`cancel` stops a run."""

from __future__ import annotations

from orchestrator.cli.options import RunName


def cancel(run: RunName) -> None:
    """Stop a run: nothing of it starts any more, and what is running is terminated."""
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.cli.errors import NoStack
    from orchestrator.cli.records import Records
    from orchestrator.cli.surroundings import join_stack, reach
    from orchestrator.coordinator import cancelling
    from orchestrator.runs.transitions import RunStore
    from orchestrator.settings import settings

    join_stack()
    name = (records := Records.open()).resolve(run)
    url = settings().redis_url
    if url is None:
        hint = "a run on a private stack is stopped with Ctrl-C in its terminal; else set REDIS_URL"
        raise NoStack("there is no stack up, and no REDIS_URL, on which a run could be going on", hint=hint)
    del records
    runs = RunStore(reach(url), lease_seconds=settings().lease_seconds)
    at_work = cancelling.cancel(name, store=ArtifactStore(settings().store_url), runs=runs)
    ended = f"; {at_work} running stages are terminated" if at_work else ""
    print(f"cancelled {name}{ended}. Carry it on with: orchestrator resume {name}")
