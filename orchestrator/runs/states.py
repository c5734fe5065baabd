"""The states of runs and nodes, and the allowed transitions between them."""

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
    WAITING = "waiting"  # not claimed yet
    QUEUED = "queued"  # due again after its worker was lost, or a failure handler that is due
    RUNNING = "running"  # a worker holds its lease; of a map: its items go on
    RETRYING = "retrying"  # an attempt failed; the next one is due later
    SUCCEEDED = "succeeded"  # its manifest exists
    FAILED = "failed"  # its last attempt failed
    SKIPPED = "skipped"  # its condition, or that of a node it needs, is false
    UPSTREAM_FAILED = "upstream_failed"  # a node it needs failed
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether the node will not run (again) in this run."""
        return not ALLOWED[self]


_ENDS_WITHOUT_RUNNING = {NodeState.SKIPPED, NodeState.UPSTREAM_FAILED, NodeState.CANCELLED}

#: Allowed transitions of a run. A run that is over continues in a new round.
ALLOWED_OF_RUNS: Mapping[RunState, frozenset[RunState]] = {
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCEEDED: frozenset({RunState.RUNNING}),
    RunState.FAILED: frozenset({RunState.RUNNING}),
    RunState.CANCELLED: frozenset({RunState.RUNNING}),
}

#: Allowed transitions of a node or a map item within a round. A node whose worker died returns to queued; a
#: new round resets the remaining nodes to waiting. Drawn in docs/architecture.md.
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
            *_ENDS_WITHOUT_RUNNING,  # upstream_failed: only a map, some of whose items could not run
        }
    ),
    NodeState.RETRYING: frozenset({NodeState.RUNNING, NodeState.CANCELLED}),
    NodeState.SUCCEEDED: frozenset(),
    NodeState.FAILED: frozenset(),
    NodeState.SKIPPED: frozenset(),
    NodeState.UPSTREAM_FAILED: frozenset(),
    NodeState.CANCELLED: frozenset(),
}
