"""A run store on a real Redis, and calls with little around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from uuid import uuid4

import pytest
import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.runs.keys import RunId, RunKeys
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import NodeState
from orchestrator.runs.transitions import RunStore
from orchestrator.runs.values import Claim, Holder, Ready, Reopening, Settled, Taken

_tokens = map("token-{}".format, count(1))


def names(*letters: str) -> list[NodeName]:
    return [NodeName(letter) for letter in letters]


@dataclass
class Desk:
    """One run, and workers that ask for its nodes; `ann` asks where nobody else is named."""

    client: redis.Redis
    run: RunId = field(default_factory=lambda: RunId(f"some-{uuid4().hex[:8]}"))

    def __post_init__(self) -> None:
        self.runs = RunStore(self.client, lease_seconds=3600)
        self.reader = RunReader(self.client)
        self.keys = RunKeys(self.run)
        self.round = 0

    def submit(self, nodes: int, *, handlers: str = "", fail_fast: bool = False, **maps: int) -> None:
        self.runs.submit(
            self.run,
            pipeline="some",
            parameters={},
            nodes=nodes,
            maps={NodeName(name): size for name, size in maps.items()},
            submitted=0.0,
            handlers=names(*handlers),
            fail_fast=fail_fast,
        )

    def holder(self, message: str, worker: str = "ann") -> Holder:
        return Holder(token=next(_tokens), delivery=f"{worker}#{message}", worker=worker, round=self.round)

    def claim(
        self, node: str, *, waits: str = "", worker: str = "ann", round: int | None = None
    ) -> tuple[Claim, str]:
        """The answer, and the token that was given; a message is the latest round's, or another's."""
        holder = self.holder(node, worker)
        if round is not None:
            holder = replace(holder, round=round)
        return self.runs.claim(self.run, NodeName(node), holder, waits=names(*waits)), holder.token

    def begin(self, node: str) -> str:
        return self.claim(node)[1]

    def commit(self, node: str, *, group: str | None = None, wakes: str = "") -> Settled:
        """Claim and commit."""
        whole = NodeName(group) if group else None
        return self.runs.commit(self.run, NodeName(node), self.begin(node), group=whole, wakes=names(*wakes))

    def expand(self, node: str, items: int, *wakes: str) -> Settled:
        """Claim and expand."""
        return self.runs.expand(self.run, NodeName(node), self.begin(node), items=items, wakes=names(*wakes))

    def take(self, node: str, holder: Holder) -> Taken:
        return self.runs.take(self.run, NodeName(node), holder, wanted=1)

    def fail(
        self,
        node: str,
        token: str,
        *,
        group: str | None = None,
        tolerated: float = 0.0,
        wakes: str = "",
        needed_by: str = "",
    ) -> Settled:
        whole = NodeName(group) if group else None
        return self.runs.fail(
            self.run,
            NodeName(node),
            token,
            error="ValueError: no",
            traceback="…",
            group=whole,
            tolerated=tolerated,
            wakes=names(*wakes),
            needed_by=names(*needed_by),
        )

    def park(self, node: str, *waits: str) -> bool:
        message = f"message of {node}"
        return self.runs.park(self.run, NodeName(node), message, names(*waits), round=self.round)

    def reopen(
        self,
        left: int,
        *done: str,
        handlers: str = "",
        kept: Sequence[str] = (),
        maps: Mapping[NodeName, tuple[int, int]] | None = None,
    ) -> None:
        self.round += 1
        reopening = Reopening(
            pipeline="some",
            parameters={},
            submitted=0.0,
            number=self.round,
            open=left,
            handlers=names(*handlers),
            kept=names(*kept),
            done=dict.fromkeys(names(*done), ""),
            maps=maps or {},
        )
        self.runs.reopen(self.run, reopening)

    def state(self, node: str) -> NodeState:
        return self.reader.raw_states(self.run)[node]

    def told(self, node: str) -> list[str]:
        """The states of a node in the event stream."""
        return [event.state for event in self.reader.events(self.run) if event.node == node]

    def leases(self) -> list[str]:
        return [str(each) for each in self.client.zrange(self.keys.leases, 0, -1)]

    def parked(self) -> list[str]:
        return sorted(map(str, self.client.hkeys(self.keys.parked)))

    def ready(self, node: str) -> Ready:
        return Ready(NodeName(node), f"message of {node}")


@pytest.fixture
def desk(client: redis.Redis) -> Desk:
    """A run that nobody else has; nothing of it is submitted yet."""
    return Desk(client)
