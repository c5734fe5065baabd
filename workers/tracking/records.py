"""What the executor tells of a run and of an attempt, so that both can be written to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

#: The MLflow run id known under a key, if any.
Recall = Callable[[str], str | None]
#: Bind an MLflow run id to a key unless it is bound; replies the id that the key is bound to. Atomic.
Remember = Callable[[str, str], str]


#: The round and the number of an attempt. Nothing of a run is ordered by clocks, which differ.
Order: TypeAlias = tuple[int, int]


class Fence(Protocol):
    """Keeps an attempt whose node was taken over from logging for it."""

    def check(self) -> None:
        """Raise LeaseLost if another worker has taken the node over."""

    def glance(self, *, at_once: bool = False) -> None:
        """The same, but go on where nobody can tell; without `at_once`, do not ask each time."""


class NoFence:
    """Of an attempt that nobody can take over: one outside a worker."""

    def check(self) -> None:
        pass

    def glance(self, *, at_once: bool = False) -> None:
        pass


#: Stages on these queues log to the pipeline's run itself; on any other they get a nested run of their own.
SHARED_QUEUES = frozenset({"data", "deployment"})


@dataclass(frozen=True, kw_only=True)
class AttemptInfo:
    """One try of a node in a run."""

    run_id: str
    pipeline: str
    parameters: Mapping[str, object]  #: the run's
    started: datetime  #: when the run started
    node: str
    stage: str  #: `<module>.<function>`
    queue: str
    attempt: int  #: 1 for the first try
    round: int = 0  #: of the run, that the attempt belongs to: one that is carried on begins another
    redelivered: bool = False  #: somebody may have begun this node before (also after a resume)
    inputs: Mapping[str, object] = field(default_factory=dict)  #: the node's small inputs
    began: datetime = field(default_factory=lambda: datetime.now(UTC))  #: only to be shown: clocks differ

    @property
    def nested(self) -> bool:
        """Whether the node has an MLflow run of its own."""
        return self.queue not in SHARED_QUEUES

    @property
    def fresh(self) -> bool:
        """Whether MLflow cannot know this node yet."""
        return self.order == (0, 1) and not self.redelivered

    @property
    def order(self) -> Order:
        """Of two attempts of a node, the one with the greater is the later."""
        return (self.round, self.attempt)


@dataclass(frozen=True, kw_only=True)
class NodeInfo:
    """How a node ended."""

    name: str
    state: str  #: a node state such as `succeeded`


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a run began with: a file that a parameter names, or what a node without inputs gave."""

    name: str
    digest: str
    source: str  #: where it is: a path, or the node's address in the store
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
    round: int = 0  #: that ended so
    error: str | None = None
    nodes: Sequence[NodeInfo] = ()
    commit: str = ""  #: of the pipeline's repository, when the run was sent
    dirty: bool = False  #: whether that had changes that were not committed
    data: Sequence[Data] = ()
    #: Which attempt gave what a node's output is, if that is known: its model is the one that counts.
    committed: Callable[[str], Order | None] = lambda _: None


def run_key(run_id: str, node: str = "") -> str:
    """The key under which `Remember` and `Recall` know the MLflow run of a run, or of one of its nodes."""
    return f"{run_id}/{node}" if node else run_id


def model_key(run_id: str, node: str, name: str, place: Sequence[int]) -> str:
    """The key of a model that a node logged; `place` is its attempt's order, and which one of that it is."""
    return f"{run_id}/{node}/models/{name}/{'.'.join(map(str, place))}"


def milliseconds(moment: datetime) -> int:
    """A point in time the way MLflow writes it."""
    return int(moment.timestamp() * 1000)
