"""Tells an `on_failure` stage how its run failed."""

from __future__ import annotations

from orchestrator.authoring.failure import FailedNode, Failure
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import NodeState
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import RunContext


def failure_of(context: RunContext, resources: WorkerResources) -> Failure:
    """The run's first error, and every node that had failed then: the same for each handler.

    Handlers run side by side, so another one may have failed by now; nothing else of the run goes on.
    """
    reader = RunReader(resources.runs.client)
    record, tracebacks = reader.read(context.run, context.graph), reader.tracebacks(context.run)
    handlers = {handler.name for handler in context.graph.handlers}
    failed = tuple(
        FailedNode(
            name=node.name,
            stage=node.stage,
            error=node.error or "",
            traceback=tracebacks.get(f"{node.name}#{len(node.attempts)}", ""),
            attempts=len(node.attempts),
        )
        for node in record.nodes
        if node.state is NodeState.FAILED and node.name not in handlers
    )
    return Failure(run=context.run, pipeline=context.graph.pipeline, error=record.error or "", nodes=failed)
