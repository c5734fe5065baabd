"""How the delivery of a message ends."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from orchestrator.runs.values import RunEnding, WokenMessage


@dataclass(frozen=True)
class Committed:
    """The node is done: the canvas goes on."""

    ready: tuple[WokenMessage, ...] = ()  #: nodes that need it, and have all they need now
    ending: RunEnding = RunEnding.NONE


@dataclass(frozen=True)
class Expanded:
    """A map has become items, which are to be sent."""

    items: int
    ready: tuple[WokenMessage, ...] = ()  #: where all of them were done before
    ending: RunEnding = RunEnding.NONE


@dataclass(frozen=True)
class Stopped:
    """The canvas ends here: skipped, held by another worker, or not to run any more."""

    why: str
    ending: RunEnding = RunEnding.NONE


@dataclass(frozen=True)
class Again:
    """The attempt failed, and the policy grants another one."""

    error: str  #: in one line
    wait: float  #: seconds until then


@dataclass(frozen=True)
class Failed:
    """The node has failed for good."""

    error: str  #: in one line
    ready: tuple[WokenMessage, ...] = ()
    ending: RunEnding = RunEnding.NONE
    stopped: tuple[str, ...] = ()  #: deliveries at work on a run that fails fast
    trace: TracebackType | None = None  #: where it was raised


@dataclass(frozen=True)
class BatchOutcome:
    """A turn of working on a map's items is over."""

    ready: tuple[WokenMessage, ...]
    ending: RunEnding
    retries: tuple[tuple[int, float], ...]  #: items that are due again, and in how many seconds
    again: bool  #: there may be more items
    stopped: tuple[str, ...] = ()


Outcome: TypeAlias = Committed | Expanded | Stopped | Again | Failed
