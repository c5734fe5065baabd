"""The tasks that belong to no stage, by name; and which map's batch a stage's message calls to."""

from __future__ import annotations

from collections.abc import Mapping

#: Writes an ended run down, in MLflow and in the artifact store.
CONCLUDE = "orchestrator.conclude"
#: Delivers what could not be logged while MLflow was away.
DELIVER = "orchestrator.deliver"
#: Judges a node whose process was killed at its time limit.
OVERDUE = "orchestrator.overdue"
#: Fails a node for whose stage a worker has no code.
UNKNOWN = "orchestrator.unknown"

#: Queues whose workers import MLflow before their first message.
PRELOADED = ("training", "deployment")


def batch_number(kwargs: Mapping[str, object]) -> int | None:
    """Which of a map's batches a message calls to; None if it names a node or an item."""
    number = kwargs.get("batch", kwargs.get("share"))  # `share` in messages of earlier versions
    return number if isinstance(number, int) else None
