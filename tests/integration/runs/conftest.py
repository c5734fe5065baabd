"""A run store on a real Redis, and calls with little around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from uuid import uuid4

import pytest
import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import NodeState
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import Claim, Holder, Reopening, Settled, Taken

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

    def submit(
        self, nodes: int, *, handlers: str = "", fail_fast: bool = False, needs: str = "", **maps: int
    ) -> None:
        """A run of so many nodes; `needs` lists edges: in `ab,bc`, b needs a, and c needs b."""
        self.runs.submit(
            self.run,
            pipeline="some",
            parameters={},
            needs=self.needs(nodes, needs),
            maps={NodeName(name): size for name, size in maps.items()},
            submitted=0.0,
            handlers=names(*handlers),
            fail_fast=fail_fast,
        )

    def needs(self, nodes: int, edges: str) -> dict[NodeName, int]:
        pairs = [(edge[0], edge[1]) for edge in edges.split(",") if edge]
        named = {letter: sum(target == letter for _, target in pairs) for pair in pairs for letter in pair}
        others = {f"other-{number}": 0 for number in range(nodes - len(named))}
        return {NodeName(name): count for name, count in {**named, **others}.items()}

    def holder(self, message: str, worker: str = "ann") -> Holder:
        return Holder(token=next(_tokens), delivery=f"{worker}#{message}", worker=worker, round=self.round)

    def claim(
        self, node: str, *, needed_by: str = "", worker: str = "ann", round: int | None = None
    ) -> tuple[Claim, str]:
        """The answer, and the token that was given; a message is the latest round's, or another's."""
        holder = self.holder(node, worker)
        if round is not None:
            holder = replace(holder, round=round)
        return self.runs.claim(self.run, NodeName(node), holder, needed_by=names(*needed_by)), holder.token

    def begin(self, node: str) -> str:
        return self.claim(node)[1]

    def commit(self, node: str, *, group: str | None = None, needed_by: str = "") -> Settled:
        """Claim and commit."""
        whole, after = NodeName(group) if group else None, names(*needed_by)
        return self.runs.commit(self.run, NodeName(node), self.begin(node), group=whole, needed_by=after)

    def expand(self, node: str, items: int, *needed_by: str) -> Settled:
        """Claim and expand."""
        after = names(*needed_by)
        return self.runs.expand(self.run, NodeName(node), self.begin(node), items=items, needed_by=after)

    def take(self, node: str, holder: Holder) -> Taken:
        return self.runs.take(self.run, NodeName(node), holder, wanted=1)

    def fail(
        self,
        node: str,
        token: str,
        *,
        group: str | None = None,
        tolerated: float = 0.0,
        needed_by: str = "",
        descendants: str = "",
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
            needed_by=names(*needed_by),
            descendants=names(*descendants),
        )

    def reopen(
        self,
        left: int,
        *done: str,
        handlers: str = "",
        kept: Sequence[str] = (),
        needs: str = "",
        maps: Mapping[NodeName, tuple[int, int]] | None = None,
    ) -> None:
        self.round += 1
        reopening = Reopening(
            pipeline="some",
            parameters={},
            submitted=0.0,
            number=self.round,
            expected=self.runs.status(self.run),
            open=left,
            handlers=names(*handlers),
            kept=names(*kept),
            done=dict.fromkeys(names(*done), ""),
            maps=maps or {},
            needs=self.needs(left, needs),
        )
        self.runs.reopen(self.run, reopening)

    def state(self, node: str) -> NodeState:
        return self.reader.raw_states(self.run)[node]

    def told(self, node: str) -> list[str]:
        """The states of a node in the event stream."""
        return [event.state for event in self.reader.events(self.run) if event.node == node]

    def leases(self) -> list[str]:
        return [str(each) for each in self.client.zrange(self.keys.leases, 0, -1)]

    def due(self) -> list[str]:
        """The named nodes and items that are due."""
        found = map(str, self.client.zrange(self.keys.due, 0, -1))
        return sorted(name for name in found if not name.startswith("other-"))


@pytest.fixture
def desk(client: redis.Redis) -> Desk:
    """A run that nobody else has; nothing of it is submitted yet."""
    return Desk(client)
