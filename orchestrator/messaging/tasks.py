"""Names of the built-in tasks, and the argument by which a message names a batch of a map."""

from __future__ import annotations

from collections.abc import Mapping

#: Writes the end of a run to MLflow and to the artifact store.
CONCLUDE = "orchestrator.conclude"
#: Delivers a run's outbox to MLflow.
DELIVER = "orchestrator.deliver"
#: Retries or fails a node whose process was killed at its time limit.
TIMED_OUT = "orchestrator.overdue"
#: Fails a node whose stage is not registered in a worker.
UNKNOWN = "orchestrator.unknown"

#: Queues whose workers import MLflow before their first message.
PRELOADED = ("training", "deployment")


def batch_number(kwargs: Mapping[str, object]) -> int | None:
    """Return the number of the batch that a message names; None if it names a node or an item."""
    number = kwargs.get("batch", kwargs.get("share"))  # `share` in messages of earlier versions
    return number if isinstance(number, int) else None
