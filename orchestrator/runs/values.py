"""Arguments and replies of the state transitions, as frozen values."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.authoring.graph import JSON, NodeName
from orchestrator.authoring.progress import Progress


class ClaimStatus(StrEnum):
    """The status of a claim."""

    CLAIMED = "claimed"  # the caller holds the lease and runs the node
    DONE = "done"  # it was committed before: the canvas continues
    EXPANDED = "expanded"  # a map that was expanded before
    EARLY = "early"  # an input is missing; the node is sent again when it is available
    HELD = "held"  # another live worker runs it
    OVER = "over"  # it must not run (any more)
    GONE = "gone"  # Redis knows no such run
    OUTDATED = "outdated"  # its message belongs to an earlier round


class RunEnding(StrEnum):
    """What the caller must send if its transition was the last one of the run."""

    NONE = ""  # nodes are open
    HANDLERS = "handling"  # the run has failed, and its failure handlers are due
    OVER = "over"  # the run has ended and must be concluded


@dataclass(frozen=True)
class DueNode:
    """A node that has all its inputs and was not claimed yet."""

    node: NodeName
    alone: bool = False  #: the canvas no longer sends it: the receiver of this value must
    batch: int | None = (
        None  #: of an expanded map: the number of the message that calls a worker to its items
    )


@dataclass(frozen=True)
class AttemptCounts:
    """The attempt counts of a node."""

    number: int  #: the attempt's number; for an expanded map, its number of items
    tries: int = 1  #: attempts that the retry policy counts, including this one
    lost: int = 0  #: attempts whose worker died, except those whose worker was stopped
    claimed: int = field(default=0, compare=False)  #: microseconds since 1970, by Redis
    forgetful: bool = field(default=False, compare=False)  #: Redis may have lost an earlier attempt


class FencingNumber(NamedTuple):
    """Orders attempts of one node: the attempt with the higher number counts, whichever was faster."""

    round: int  #: the run's round
    attempt: int  #: from 1; 0 for an output that a round took over from earlier ones
    claimed: int = 0  #: microseconds since 1970, by Redis: it may lose an attempt and reuse its number


@dataclass(frozen=True)
class Claim:
    """The reply to a claim."""

    status: ClaimStatus
    counts: AttemptCounts
    ready: tuple[DueNode, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a lease: one delivery of a message to one worker."""

    token: str  #: unique to this attempt
    delivery: str  #: id of the delivery, by which leases are held
    worker: str  #: the worker's display name
    round: int = 0  #: the run's round that the message belongs to


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """What a delivery continues with once its node is committed: the first of `nodes` that is due then."""

    nodes: Sequence[NodeName]
    holder: Holder
    join: NodeName | None = None  #: the join whose chord counts the delivery, until it continues
    left: bool = False  #: it has continued before, so that the chord does not count it any more


class ClaimedNext(NamedTuple):
    """A node that was claimed in the step that committed the one before."""

    node: NodeName
    counts: AttemptCounts


@dataclass(frozen=True)
class Taken:
    """Items of a map that the caller has claimed, by index."""

    items: Mapping[int, AttemptCounts]
    ready: tuple[DueNode, ...] = ()  #: what is due behind the map, where that was asked for


@dataclass(frozen=True, kw_only=True)
class DoneItem:
    """An item of a map whose output is written."""

    index: int
    began: float  #: seconds ago
    ended: float  #: seconds ago
    value: str = ""
    reused: bool = False
    why: str = ""  #: why it was reused or not


@dataclass(frozen=True)
class AttemptProgress:
    """How far an attempt of a node has come."""

    number: int  #: the attempt's
    progress: Progress

    def to_text(self) -> str:
        """As it stands in Redis."""
        return json.dumps({"attempt": self.number, **asdict(self.progress)})

    @classmethod
    def from_text(cls, text: str) -> AttemptProgress:
        """The inverse of `to_text`."""
        told = json.loads(text)
        return cls(told.pop("attempt"), Progress(**told))


class Renewal(NamedTuple):
    """The reply to the renewal of a lease."""

    renewed: bool  #: False if a node was taken from the delivery, so that it must be killed
    progress: Progress | None  #: of the node that it is at, if that tells it


@dataclass(frozen=True)
class RunStatus:
    """A run's status, from one atomic read."""

    state: str  #: a run state
    ended: str  #: when the run ended, in microseconds since 1970; empty while it is open
    round: int  #: the current round, or the one that the run ended in


@dataclass(frozen=True)
class Follows:
    """The maps that a map follows item by item."""

    done: Sequence[NodeName] = ()  #: of which the same item has to succeed
    expanded: Sequence[NodeName] = ()  #: of which the same item has to be expanded: it is a map itself


#: Of a map that follows none.
NONE = Follows()


@dataclass(frozen=True, kw_only=True)
class Reopening:
    """What a new round of a run takes over as done, and what is left to run."""

    pipeline: str
    parameters: Mapping[str, JSON]
    fail_fast: bool = False
    handlers: Sequence[NodeName] = ()  #: nodes that run after the run has failed
    submitted: float  #: seconds since 1970
    number: int  #: the round's number
    expected: RunStatus | None  #: the run's status when this was computed; None: the run was unknown
    open: int  #: number of nodes left; maps with items in the canvas count as their items
    done: Mapping[NodeName, str]  #: succeeded nodes and items, with their values as JSON (or empty)
    again: Mapping[NodeName, str] = field(default_factory=dict)  #: nodes left, and why they run (again)
    needs: Mapping[NodeName, int]  #: nodes left, and how many other nodes left each needs
    kept: Collection[NodeName] = ()  #: nodes and items that ended without success and are not run again
    maps: Mapping[NodeName, tuple[int, int]]  #: maps with items in the canvas: items, and items left
    #: Of the maps that are left, those that follow each, and how many indexes they share.
    item_followers: Mapping[NodeName, Mapping[NodeName, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settled:
    """The reply to a transition that ends an attempt."""

    accepted: bool  #: False: the lease was lost, and nothing was changed
    ending: RunEnding = RunEnding.NONE
    ready: tuple[DueNode, ...] = ()
    stopped: tuple[str, ...] = ()  #: running deliveries of a run that fails fast, to be terminated
    claimed: ClaimedNext | None = None  #: the node that the delivery continues with
