"""The record of a run for display: its nodes in graph order, with their attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from orchestrator.authoring.graph import JSON
from orchestrator.authoring.progress import Progress
from orchestrator.run_id import RunId
from orchestrator.runs.states import NodeState, RunState


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """One attempt of a node."""

    number: int
    worker: str
    started: datetime
    ended: datetime | None = None
    error: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """As in `show --json`."""
        return {
            "number": self.number,
            "worker": self.worker,
            "started": stamp(self.started),
            "ended": stamp(self.ended),
            "error": self.error,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> AttemptRecord:
        """The inverse of `to_json`."""
        return cls(
            number=int(cast("int", plain["number"])),
            worker=str(plain["worker"]),
            started=cast("datetime", moment(plain["started"])),
            ended=moment(plain.get("ended")),
            error=cast("str | None", plain.get("error")),
        )


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """A node, or one item of a map, within a run."""

    name: str
    stage: str
    queue: str
    state: NodeState
    reused: bool = False
    started: datetime | None = None
    ended: datetime | None = None
    value: JSON = None  #: the output, if it is a small JSON value
    why: str = ""  #: why it was reused, or not reused although it is cached
    attempts: tuple[AttemptRecord, ...] = ()
    progress: Progress | None = None  #: of the running attempt, if it tells it

    @property
    def error(self) -> str | None:
        """The error of the last attempt."""
        return self.attempts[-1].error if self.attempts else None

    def to_json(self) -> dict[str, JSON]:
        """As in `show --json`."""
        return {
            "name": self.name,
            "stage": self.stage,
            "queue": self.queue,
            "state": self.state.value,
            "reused": self.reused,
            "started": stamp(self.started),
            "ended": stamp(self.ended),
            "value": self.value,
            "progress": None
            if (told := self.progress) is None
            else {"done": told.done, "total": told.total, "description": told.description},
            "attempts": [attempt.to_json() for attempt in self.attempts],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> NodeRecord:
        """The inverse of `to_json`, for nodes that have ended: none of them has a progress."""
        attempts = cast("list[Mapping[str, JSON]]", plain["attempts"])
        return cls(
            name=str(plain["name"]),
            stage=str(plain["stage"]),
            queue=str(plain["queue"]),
            state=NodeState(str(plain["state"])),
            reused=bool(plain["reused"]),
            started=moment(plain["started"]),
            ended=moment(plain["ended"]),
            value=plain["value"],
            attempts=tuple(AttemptRecord.from_json(attempt) for attempt in attempts),
        )


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a person has called a run, to find it again."""

    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def to_json(self) -> dict[str, JSON]:
        """As a part of a run's record."""
        return {"name": self.name, "tags": dict(self.tags), "note": self.note}

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> Labels:
        """The inverse of `to_json`; what a record of an earlier version does not have is empty."""
        tags = cast("Mapping[str, str]", plain.get("tags") or {})
        return cls(name=str(plain.get("name") or ""), tags=tags, note=str(plain.get("note") or ""))


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One execution of a pipeline."""

    id: RunId
    pipeline: str
    state: RunState
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    mlflow_run_id: str | None = None
    error: str | None = None
    round: int = 0  #: the current round, or the one that the run ended in
    nodes: tuple[NodeRecord, ...] = ()
    labels: Labels = field(default_factory=Labels)

    def to_json(self) -> dict[str, JSON]:
        """As in the last line of `run --json`."""
        return {
            "id": self.id,
            "pipeline": self.pipeline,
            "state": self.state.value,
            "parameters": dict(self.parameters),
            "started": stamp(self.started),
            "ended": stamp(self.ended),
            "mlflow_run_id": self.mlflow_run_id,
            "error": self.error,
            **self.labels.to_json(),
            "nodes": [node.to_json() for node in self.nodes],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> RunRecord:
        """The inverse of `to_json`."""
        nodes = cast("list[Mapping[str, JSON]]", plain["nodes"])
        return cls(
            id=RunId(str(plain["id"])),
            pipeline=str(plain["pipeline"]),
            state=RunState(str(plain["state"])),
            parameters=cast("dict[str, JSON]", plain["parameters"]),
            submitted=moment(plain.get("submitted")),
            started=moment(plain["started"]),
            ended=moment(plain["ended"]),
            mlflow_run_id=cast("str | None", plain["mlflow_run_id"]),
            error=cast("str | None", plain["error"]),
            round=int(cast("int", plain.get("round", 0))),
            nodes=tuple(NodeRecord.from_json(node) for node in nodes),
            labels=Labels.from_json(plain),
        )


def stamp(time: datetime | None) -> str | None:
    """Format a time as ISO 8601 in UTC, with microseconds."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text: JSON) -> datetime | None:
    """The inverse of `stamp`."""
    return None if text is None else datetime.fromisoformat(str(text))
