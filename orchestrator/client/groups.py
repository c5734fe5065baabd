"""Folds the items of each map into one group, as runs are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from orchestrator.authoring.graph import node_of
from orchestrator.authoring.progress import Progress
from orchestrator.runs.record import NodeRecord
from orchestrator.runs.states import NodeState

#: The first of these that an item has is the state of an unfinished or failed map.
_TELLING = (
    NodeState.FAILED,
    NodeState.RUNNING,
    NodeState.RETRYING,
    NodeState.QUEUED,
    NodeState.WAITING,
    NodeState.CANCELLED,
    NodeState.UPSTREAM_FAILED,
    NodeState.SKIPPED,
)


@dataclass(frozen=True)
class Group:
    """A node, or all items of a map."""

    name: str
    records: tuple[NodeRecord, ...]

    @property
    def mapped(self) -> bool:
        """Whether these are the items of a map."""
        return self.records[0].name != self.name

    @property
    def queue(self) -> str:
        """The queue that all of them go to."""
        return self.records[0].queue

    @cached_property
    def counts(self) -> Counter[NodeState]:
        """How many are in each state."""
        return Counter(record.state for record in self.records)

    @property
    def done(self) -> int:
        """How many have succeeded."""
        return self.counts[NodeState.SUCCEEDED]

    @property
    def state(self) -> NodeState:
        """What the group as a whole is up to."""
        if self.counts[NodeState.SUCCEEDED] == len(self.records):
            return NodeState.SUCCEEDED
        state = next(state for state in _TELLING if self.counts[state])
        if state in (NodeState.QUEUED, NodeState.WAITING) and self.done:
            return NodeState.RUNNING
        return state

    @property
    def started(self) -> datetime | None:
        """When the first of them started."""
        return min((record.started for record in self.records if record.started), default=None)

    @property
    def ended(self) -> datetime | None:
        """When the last of them ended; None while one is open."""
        if any(not record.state.over for record in self.records):
            return None
        return max((record.ended for record in self.records if record.ended), default=None)

    @property
    def attempts(self) -> int:
        """The most attempts that one of them took."""
        return max(len(record.attempts) for record in self.records)

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers of their last attempts, each once."""
        return tuple(dict.fromkeys(each.attempts[-1].worker for each in self.records if each.attempts))

    @property
    def durations(self) -> list[float]:
        """How long those that ended took, in seconds, shortest first."""
        return sorted(
            (each.ended - each.started).total_seconds()
            for each in self.records
            if each.started and each.ended
        )

    @property
    def loop(self) -> Progress | None:
        """How far the node has come, if its stage tells that; of a map, the items that are done count."""
        return None if self.mapped else self.records[0].progress

    @property
    def progress(self) -> str:
        """`3/8 done, 1 running, 1 failed`: what there is to tell of a map."""
        parts = [f"{self.done}/{len(self.records)} done"]
        for state in (NodeState.RUNNING, NodeState.RETRYING, NodeState.FAILED, NodeState.UPSTREAM_FAILED):
            if self.counts[state]:
                parts.append(f"{self.counts[state]} {state.value.replace('_', ' ')}")
        return ", ".join(parts)


def group_name(name: str) -> str:
    """The node that a record belongs to: `fit` for `fit[3]`, and for `fit`."""
    return node_of(name)


def grouped(records: Iterable[NodeRecord]) -> dict[str, Group]:
    """The groups by name, in the order written."""
    found: dict[str, list[NodeRecord]] = {}
    for record in records:
        found.setdefault(group_name(record.name), []).append(record)
    return {name: Group(name, tuple(records)) for name, records in found.items()}
