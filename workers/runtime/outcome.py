"""Outcomes of a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from orchestrator.runs.values import ClaimedNext, DueNode, RunEnding


@dataclass(frozen=True)
class Committed:
    """The node has succeeded: the canvas continues."""

    ready: tuple[DueNode, ...] = ()  #: successors whose last missing input this was
    ending: RunEnding = RunEnding.NONE
    claimed: ClaimedNext | None = None  #: the node that this delivery continues with


@dataclass(frozen=True)
class Expanded:
    """A map was expanded into items, which must be sent."""

    items: int
    ready: tuple[DueNode, ...] = ()  #: successors, if all items had succeeded before
    ending: RunEnding = RunEnding.NONE


@dataclass(frozen=True)
class Stopped:
    """The canvas ends here: the node is skipped, held by another worker, or must not run any more."""

    why: str
    ending: RunEnding = RunEnding.NONE
    ready: tuple[DueNode, ...] = ()  #: what a map made due that has succeeded without a skipped item


@dataclass(frozen=True)
class Again:
    """The attempt failed and is retried."""

    error: str  #: in one line
    wait: float  #: seconds until the next attempt


@dataclass(frozen=True)
class Failed:
    """The node has failed permanently."""

    error: str  #: in one line
    ready: tuple[DueNode, ...] = ()
    ending: RunEnding = RunEnding.NONE
    stopped: tuple[str, ...] = ()  #: running deliveries of a run that fails fast, to be terminated
    trace: TracebackType | None = None


@dataclass(frozen=True)
class BatchOutcome:
    """A batch has had its time, or no items are left."""

    ready: tuple[DueNode, ...]
    ending: RunEnding
    stopped: tuple[str, ...] = ()


Outcome: TypeAlias = Committed | Expanded | Stopped | Again | Failed
