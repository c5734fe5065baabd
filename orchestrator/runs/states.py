"""The states of runs and nodes, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RunState(StrEnum):
    PENDING = "pending"  # submitted; no stage has started
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class NodeState(StrEnum):
    WAITING = "waiting"  # an input is missing
    QUEUED = "queued"  # its message is with the broker
    RUNNING = "running"  # a worker holds its lease
    RETRYING = "retrying"  # an attempt failed; the next one is due later
    SUCCEEDED = "succeeded"  # its manifest exists
    FAILED = "failed"  # its last attempt failed
    SKIPPED = "skipped"  # its condition, or that of a node it needs, came out false
    UPSTREAM_FAILED = "upstream_failed"  # a node it needs failed
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether the node will not run (again) in this run."""
        return not ALLOWED[self]


_ENDS_WITHOUT_RUNNING = {NodeState.SKIPPED, NodeState.UPSTREAM_FAILED, NodeState.CANCELLED}

#: Which state of a run may follow which. One that is over goes on in a new round.
ALLOWED_OF_RUNS: Mapping[RunState, frozenset[RunState]] = {
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCEEDED: frozenset({RunState.RUNNING}),
    RunState.FAILED: frozenset({RunState.RUNNING}),
    RunState.CANCELLED: frozenset({RunState.RUNNING}),
}

#: Which state of a node, or of an item of a map, may follow which within a round. One that is taken over from
#: a dead worker goes back to queued; a new round has what is left wait again. docs/architecture.md draws it.
ALLOWED: Mapping[NodeState, frozenset[NodeState]] = {
    NodeState.WAITING: frozenset({NodeState.QUEUED, NodeState.RUNNING, *_ENDS_WITHOUT_RUNNING}),
    NodeState.QUEUED: frozenset({NodeState.RUNNING, NodeState.CANCELLED}),
    NodeState.RUNNING: frozenset(
        {
            NodeState.QUEUED,
            NodeState.RUNNING,
            NodeState.RETRYING,
            NodeState.SUCCEEDED,
            NodeState.FAILED,
            *_ENDS_WITHOUT_RUNNING,  # upstream failed: only a map whose items stand in the canvas
        }
    ),
    NodeState.RETRYING: frozenset({NodeState.RUNNING, NodeState.CANCELLED}),
    NodeState.SUCCEEDED: frozenset(),
    NodeState.FAILED: frozenset(),
    NodeState.SKIPPED: frozenset(),
    NodeState.UPSTREAM_FAILED: frozenset(),
    NodeState.CANCELLED: frozenset(),
}
