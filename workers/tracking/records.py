"""Data about runs and attempts that the runtime passes to tracking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

#: The MLflow run id known under a key, if any.
Recall = Callable[[str], str | None]
#: Bind an MLflow run id to a key unless the key is bound; return the bound id. Atomic.
Remember = Callable[[str, str], str]


#: The round and number of an attempt. Attempts are never ordered by clocks, which differ between machines.
AttemptOrder: TypeAlias = tuple[int, int]


class Fence(Protocol):
    """Prevents an attempt whose node was taken over from logging."""

    def check(self) -> None:
        """Raise LeaseLost if another worker has taken the node over."""

    def glance(self, *, at_once: bool = False) -> None:
        """Like `check`, but continue if Redis does not answer; without `at_once`, do not ask each time."""


class NoFence:
    """The fence of an attempt outside a worker, which cannot be taken over."""

    def check(self) -> None:
        pass

    def glance(self, *, at_once: bool = False) -> None:
        pass


#: Stages on these queues log to the pipeline's run; on any other queue each node gets a nested run.
SHARED_QUEUES = frozenset({"data", "deployment"})


def is_nested(queue: str) -> bool:
    """Whether nodes on a queue have MLflow runs of their own."""
    return queue not in SHARED_QUEUES


@dataclass(frozen=True, kw_only=True)
class AttemptInfo:
    """One attempt of a node in a run."""

    run_id: str
    pipeline: str
    parameters: Mapping[str, object]  #: parameters of the run
    started: datetime  #: when the run started
    node: str
    stage: str  #: `<module>.<function>`
    queue: str
    attempt: int  #: attempt number, from 1
    round: int = 0  #: the run's round that the attempt belongs to; each resumption begins another
    redelivered: bool = False  #: the node may have been started before (also after a resumption)
    map: str = ""  #: the map that the node is an item of, if it is one
    inputs: Mapping[str, object] = field(default_factory=dict)  #: the node's small inputs
    began: datetime = field(default_factory=lambda: datetime.now(UTC))  #: for display only: clocks differ

    @property
    def nested(self) -> bool:
        """Whether the node has its own MLflow run; a map's item has it once it logs something."""
        return is_nested(self.queue)

    @property
    def fresh(self) -> bool:
        """Whether MLflow cannot know this node yet."""
        return self.order == (0, 1) and not self.redelivered

    @property
    def order(self) -> AttemptOrder:
        """Sort key of a node's attempts: the greatest is the latest."""
        return (self.round, self.attempt)


@dataclass(frozen=True, kw_only=True)
class NodeInfo:
    """How a node ended."""

    name: str
    state: str  #: a node state such as `succeeded`


@dataclass(frozen=True, kw_only=True)
class MapInfo(NodeInfo):
    """How a map ended that has an MLflow run of its own."""

    stage: str  #: `<module>.<function>`


@dataclass(frozen=True, kw_only=True)
class Data:
    """Input data of a run: a file that a parameter names, or the output of a node without inputs."""

    name: str
    digest: str
    source: str  #: its location: a path, or the node's key in the store
    kind: str = "file"


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """How a run ended."""

    run_id: str
    pipeline: str
    parameters: Mapping[str, object]
    started: datetime
    ended: datetime
    state: str  #: a run state: succeeded, failed or cancelled
    round: int = 0  #: the round that ended
    error: str | None = None
    nodes: Sequence[NodeInfo] = ()
    maps: Sequence[MapInfo] = ()
    name: str = ""  #: that a person gave the run; empty for none
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    commit: str = ""  #: git commit of the pipeline's repository when the run was submitted
    dirty: bool = False  #: whether the repository had uncommitted changes
    data: Sequence[Data] = ()
    #: The attempt that committed a node's output, if known: its model is the one that counts.
    committed: Callable[[str], AttemptOrder | None] = lambda _: None


def run_key(run_id: str, node: str = "") -> str:
    """Return the key of the MLflow run of a run, or of one of its nodes, for `Remember` and `Recall`."""
    return f"{run_id}/{node}" if node else run_id


def model_key(run_id: str, node: str, name: str, place: Sequence[int]) -> str:
    """Return the key of a logged model; `place` is its attempt's order and its number in the attempt."""
    return f"{run_id}/{node}/models/{name}/{'.'.join(map(str, place))}"


def milliseconds(moment: datetime) -> int:
    """Convert a time to MLflow's milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
