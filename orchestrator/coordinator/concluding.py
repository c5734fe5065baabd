"""Has a run that has ended written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.archive.specification import Specification
from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: The task that writes an ended run down.
CONCLUDE = "orchestrator.conclude"


def send_conclusion(run: RunId, *, store: ArtifactStore) -> None:
    """Ask a worker of one of the run's queues to do so; as often as you like. Raises UnknownRun."""
    send_conclusion_to(run, min(Specification.read(store, run).graph.queues))


def send_conclusion_to(run: RunId, queue: str) -> None:
    """Ask a worker of this queue to do so."""
    from orchestrator.app import app

    app.signature(CONCLUDE, kwargs={"run": run}, queue=queue, immutable=True).apply_async()
