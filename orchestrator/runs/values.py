"""What transitions are given and what they reply, as frozen values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.authoring.graph import JSON, NodeName


class ClaimStatus(StrEnum):
    """The answer to a claim."""

    CLAIMED = "claimed"  # the node is the caller's to run
    DONE = "done"  # it was committed before: the canvas goes on
    EXPANDED = "expanded"  # a map that became items before
    EARLY = "early"  # it misses something; its message is needed no more
    HELD = "held"  # another live worker runs it
    OVER = "over"  # it is not to run (any more)
    GONE = "gone"  # Redis knows no such run
    OUTDATED = "outdated"  # its message is of an earlier round


class RunEnding(StrEnum):
    """What a transition leaves to be done by whoever made it, as it was the last of the run."""

    NONE = ""  # nodes are open
    HANDLERS = "handling"  # the run has failed, and what is to run then is due
    OVER = "over"  # the run has ended, and is to be written down


@dataclass(frozen=True)
class WokenMessage:
    """A node that has all it needs and was not claimed yet."""

    node: NodeName
    alone: bool = False  #: nothing in the canvas brings it any more: whoever hears of it sends it


@dataclass(frozen=True)
class AttemptCounts:
    """How often a node was tried."""

    number: int  #: of the attempt; of items for an expanded map
    tries: int = 1  #: those that its retry policy counts, this one included
    lost: int = 0  #: attempts whose worker died; not those whose worker was stopped
    claimed: int = field(default=0, compare=False)  #: microseconds since 1970, by Redis
    forgetful: bool = field(default=False, compare=False)  #: Redis may have forgotten an attempt before it


class FencingNumber(NamedTuple):
    """Which of two attempts of one node counts: the one with the higher number, whoever was faster."""

    round: int  #: of the run
    attempt: int  #: from 1; 0 for what a round took over from those before it
    claimed: int = 0  #: microseconds since 1970, by Redis: it may forget an attempt, and give its number anew


@dataclass(frozen=True)
class Claim:
    """The answer to a claim, with what goes with it."""

    status: ClaimStatus
    counts: AttemptCounts
    ready: tuple[WokenMessage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who asks for a node: one delivery of its message to one worker."""

    token: str  #: unique to this attempt
    delivery: str  #: the message's arrival at this worker: leases are held by it
    worker: str  #: the worker's name, for people
    round: int = 0  #: of the run, that the message belongs to


@dataclass(frozen=True)
class Taken:
    """Items of a map that are now the caller's to run, by index."""

    items: Mapping[int, AttemptCounts]
    ready: tuple[WokenMessage, ...] = ()  #: what needs it and is unclaimed, where all of the map is done


@dataclass(frozen=True, kw_only=True)
class DoneItem:
    """An item of a map whose output is written."""

    index: int
    began: float  #: seconds ago
    ended: float  #: seconds ago
    value: str = ""
    reused: bool = False
    why: str = ""  #: it was reused or not


@dataclass(frozen=True)
class RunStatus:
    """How a run stands, as one look at Redis tells it."""

    state: str  #: a run state
    ended: str  #: when it did, in microseconds since 1970; empty while it goes on
    round: int  #: that it is in, or has ended in


@dataclass(frozen=True, kw_only=True)
class Reopening:
    """What is done of a run, and what is left."""

    pipeline: str
    parameters: Mapping[str, JSON]
    fail_fast: bool = False
    handlers: Sequence[NodeName] = ()  #: nodes that run once the run has failed
    submitted: float  #: seconds since 1970
    number: int  #: of the round
    stood: RunStatus | None  #: how the run stood when this was worked out; None: it was unknown
    open: int  #: nodes that are left; written-out maps count as their items
    done: Mapping[NodeName, str]  #: nodes and items, with their values as JSON (or empty)
    again: Mapping[NodeName, str] = field(
        default_factory=dict
    )  #: nodes that are left, and why they run (again)
    needs: Mapping[NodeName, int]  #: nodes that are left, and how many others of these each needs
    kept: Collection[NodeName] = ()  #: nodes and items that have ended without success, and stay so
    maps: Mapping[NodeName, tuple[int, int]]  #: written-out maps: items, and those that are left


@dataclass(frozen=True)
class Settled:
    """The answer to a transition that ends an attempt."""

    accepted: bool  #: False: the lease has moved, nothing was changed
    ending: RunEnding = RunEnding.NONE
    ready: tuple[WokenMessage, ...] = ()
    stopped: tuple[str, ...] = ()  #: deliveries at work on a run that fails fast
