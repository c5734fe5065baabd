"""Read runs from Redis for display, joined with their graphs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, cast

from orchestrator.authoring.graph import JSON, Graph, Node, NodeName, item_name
from orchestrator.run_id import RunId
from orchestrator.runs.connection import redis_time
from orchestrator.runs.errors import UnknownRun, readable
from orchestrator.runs.keys import ALL_RUNS, CONCLUSION_ERROR, RunKeys
from orchestrator.runs.listing import unfinished
from orchestrator.runs.record import AttemptRecord, NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState
from orchestrator.runs.values import AttemptProgress

if TYPE_CHECKING:
    from redis import Redis

#: Entries of a stream: ids and fields.
Entries: TypeAlias = "list[tuple[str, Mapping[str, str]]]"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """One transition of a node, or of the run itself if `node` is empty."""

    position: str  #: its id in the run's stream
    node: str
    state: str
    detail: str


class RunReader:
    """Reads the state that the transitions wrote."""

    def __init__(self, client: Redis) -> None:
        self.client = client

    def ids(self, limit: int = 50) -> list[RunId]:
        """Return the latest runs, newest first."""
        return [RunId(str(name)) for name in self.client.zrevrange(ALL_RUNS, 0, limit - 1)]

    def open_runs(self) -> list[RunId]:
        """Return the runs that have not ended, and those whose state is unreadable."""
        return [run for run, state in unfinished(self.client).items() if state is None or not state.over]

    def unconcluded_runs(self) -> list[RunId]:
        """Return the runs that have ended and are not concluded yet."""
        return [run for run, state in unfinished(self.client).items() if state is not None and state.over]

    def seconds_silent(self, run: RunId) -> float:
        """Return the seconds since the last event of a run."""
        last = cast("Entries", self.client.xrevrange(RunKeys(run).events, count=1))
        return redis_time(self.client) - (int(last[0][0].partition("-")[0]) / 1000 if last else 0.0)

    def expired_leases(self, run: RunId) -> list[str]:
        """Return the deliveries whose lease has expired."""
        seconds, _ = self.client.time()
        return cast(
            "list[str]", self.client.zrange(RunKeys(run).leases, "-inf", seconds * 1000, byscore=True)
        )

    def is_leased(self, run: RunId, message: str) -> bool:
        """Whether a delivery of this message has a lease."""
        leases = cast("list[str]", self.client.zrange(RunKeys(run).leases, 0, -1))
        return any(f"#{message}/" in f"{delivery}/" for delivery in leases)

    def has_leases(self, run: RunId) -> bool:
        """Whether the run has any leases, expired ones included."""
        return bool(self.client.exists(RunKeys(run).leases))

    def overdue(self, run: RunId, seconds: float) -> list[NodeName]:
        """Return the nodes that have been due, and unclaimed, for `seconds`."""
        until = round((redis_time(self.client) - seconds) * 1000)
        found = self.client.zrange(RunKeys(run).due, "-inf", until, byscore=True)
        return [NodeName(str(name)) for name in found]

    def knows(self, run: RunId) -> bool:
        """Whether Redis has this run."""
        return bool(self.client.exists(RunKeys(run).meta))

    def state(self, run: RunId) -> RunState:
        """Return the run's state; raises UnknownRun, UnreadableRun."""
        with readable(run):
            state = self.client.hget(RunKeys(run).meta, "state")
            if state is None:
                raise UnknownRun(f"Redis knows no run '{run}'")
            return RunState(str(state))

    def is_handling_failure(self, run: RunId) -> bool:
        """Whether the run has failed and its failure handlers are due."""
        return bool(self.client.hexists(RunKeys(run).meta, "handling"))

    def end(self, run: RunId) -> str | None:
        """Return when the run ended, as `RunStore.conclude` takes it; None if it is open or unknown."""
        found = self.client.hget(RunKeys(run).meta, "ended")
        return None if found is None else str(found)

    def concluded(self, run: RunId) -> bool:
        """Whether a finished run has been concluded."""
        return self.client.hget(RunKeys(run).meta, "concluded") is not None

    def conclusion_error(self, run: RunId) -> str | None:
        """Return why the last try to conclude a finished run failed; None if nothing is known."""
        found = self.client.hget(RunKeys(run).memory, CONCLUSION_ERROR)
        return None if found is None else str(found)

    def summary(self, run: RunId) -> RunRecord:
        """Read the run without its nodes; raises UnknownRun, UnreadableRun."""
        with readable(run):
            return _run(run, self._meta(run), ())

    def read(self, run: RunId, graph: Graph) -> RunRecord:
        """Read the run with nodes in graph order, maps as their items; raises UnknownRun, UnreadableRun."""
        with readable(run):
            return self._read(run, graph)

    def _read(self, run: RunId, graph: Graph) -> RunRecord:
        meta = self._meta(run)
        raw, told = self._raw_and_progress(run)
        done = {name for name, record in raw.items() if record["state"] == NodeState.SUCCEEDED}
        state, handling = RunState(meta["state"]), "handling" in meta
        nodes = tuple(
            record
            for node in graph.everything
            for record in _records(node, raw, _unseen(node, graph, done, state, handling=handling))
        )
        if told:
            nodes = tuple(_with_progress(node, told.get(node.name)) for node in nodes)
        return _run(run, meta, nodes)

    def raw_states(self, run: RunId) -> Mapping[str, NodeState]:
        """Return the states of the nodes that have a record in Redis."""
        return {name: NodeState(str(record["state"])) for name, record in self._raw(run).items()}

    def items_left(self, run: RunId, node: str) -> int:
        """Return the number of a map's items that nobody has taken yet; 0 if it does not run."""
        stored = cast("str | None", self.client.hget(RunKeys(run).nodes, node))
        record = json.loads(stored) if stored else {}
        if "next" not in record or record["state"] == NodeState.CANCELLED:
            return 0
        return int(record["items"]) - int(record["next"]) + len(record.get("back") or ())

    def states_and_rounds(self, runs: Sequence[RunId]) -> dict[RunId, tuple[str, int]]:
        """Return the state and the round of each of these runs that Redis has, in one round trip."""
        with self.client.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.hmget(RunKeys(run).meta, "state", "round")
            replies = pipe.execute(raise_on_error=False)
        read = ((run, reply) for run, reply in zip(runs, replies, strict=True) if isinstance(reply, list))
        return {run: (str(reply[0]), int(reply[1] or 0)) for run, reply in read if reply[0] is not None}

    def ended_otherwise(self, run: RunId) -> frozenset[NodeName]:
        """Return the nodes and items that have ended without success."""
        states = self.raw_states(run).items()
        return frozenset(
            NodeName(name) for name, state in states if state.over and state is not NodeState.SUCCEEDED
        )

    def held_by(self, run: RunId, delivery: str) -> list[str]:
        """Return the nodes that a delivery is running."""
        return [
            name
            for name, record in self._raw(run).items()
            if record["state"] == NodeState.RUNNING and record.get("holder") == delivery
        ]

    def holders(self, run: RunId) -> list[str]:
        """Return the running deliveries, according to the records of running nodes."""
        running = (each for each in self._raw(run).values() if each["state"] == NodeState.RUNNING)
        return sorted({str(each["holder"]) for each in running if each.get("holder")})

    def last_loss(self, run: RunId, node: str) -> str | None:
        """Return the error of the node's last lost attempt; None if there is none."""
        attempts = cast("list[Mapping[str, JSON]]", self._raw(run).get(node, {}).get("attempts") or [])
        return next((str(each.get("error")) for each in reversed(attempts) if each.get("lost")), None)

    def traceback(self, run: RunId, node: str, attempt: int) -> str | None:
        """Return an attempt's traceback; None if it has not failed."""
        found = self.client.hget(RunKeys(run).tracebacks, f"{node}#{attempt}")
        return None if found is None else str(found)

    def tracebacks(self, run: RunId) -> dict[str, str]:
        """Return the tracebacks of all failed attempts, by `node#number`."""
        with readable(run):
            return cast("dict[str, str]", self.client.hgetall(RunKeys(run).tracebacks))

    def position(self, run: RunId) -> str:
        """Return the id of the last transition in a run's stream; "0" if there is none."""
        last = cast("Entries", self.client.xrevrange(RunKeys(run).events, count=1))
        return last[0][0] if last else "0"

    def events(self, run: RunId, after: str = "0", wait: float = 0.0) -> list[Event]:
        """Return the transitions after position `after`; wait up to `wait` seconds for the first."""
        block = int(wait * 1000) or None
        reply = self.client.xread({RunKeys(run).events: after}, block=block, count=1000)
        if not reply:
            return []
        streams = reply.values() if isinstance(reply, dict) else (entries for _, entries in reply)
        return [
            Event(str(position), fields["node"], fields["state"], fields["detail"])
            for position, fields in _entries(streams)
        ]

    def _raw(self, run: RunId) -> dict[str, Mapping[str, JSON]]:
        stored = cast("Mapping[str, str]", self.client.hgetall(RunKeys(run).nodes))
        return {name: json.loads(text) for name, text in stored.items()}

    def _raw_and_progress(
        self, run: RunId
    ) -> tuple[dict[str, Mapping[str, JSON]], dict[str, AttemptProgress]]:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.hgetall(RunKeys(run).nodes)
            pipe.hgetall(RunKeys(run).progress)
            nodes, progress = cast("list[Mapping[str, str]]", pipe.execute())
        return (
            {name: json.loads(text) for name, text in nodes.items()},
            {name: AttemptProgress.from_text(text) for name, text in progress.items()},
        )

    def _meta(self, run: RunId) -> Mapping[str, str]:
        meta = cast("Mapping[str, str]", self.client.hgetall(RunKeys(run).meta))
        if not meta:
            raise UnknownRun(f"Redis knows no run '{run}'")
        return meta


def _entries(streams: object) -> Iterator[tuple[str, Mapping[str, str]]]:
    for entries in cast("Iterator[Entries]", streams):
        for entry in entries:
            # RESP3 wraps a stream's entries in one more list
            yield from cast("Entries", entry) if isinstance(entry, list) else [entry]


def _run(run: RunId, meta: Mapping[str, str], nodes: tuple[NodeRecord, ...]) -> RunRecord:
    return RunRecord(
        id=run,
        pipeline=meta["pipeline"],
        state=RunState(meta["state"]),
        parameters=cast("dict[str, JSON]", json.loads(meta["parameters"])),
        submitted=_time(meta.get("submitted")),
        started=_time(meta.get("started")),
        ended=_time(meta.get("ended")),
        mlflow_run_id=meta.get("mlflow_run_id"),
        error=meta.get("error"),
        round=int(meta.get("round", 0)),
        nodes=nodes,
    )


def _unseen(node: Node, graph: Graph, done: set[str], run: RunState, *, handling: bool) -> NodeState:
    """Derive the state of a node without a record; once the failure handlers are due, it is cancelled."""
    if run is RunState.SUCCEEDED:
        return NodeState.SKIPPED
    if run.over or handling:
        return NodeState.CANCELLED
    return NodeState.QUEUED if node.needs <= done and node not in graph.handlers else NodeState.WAITING


def _records(node: Node, raw: Mapping[str, Mapping[str, JSON]], unseen: NodeState) -> Iterator[NodeRecord]:
    yield from _parts(node, node.name, raw, unseen, "")


def _parts(
    node: Node, name: NodeName, raw: Mapping[str, Mapping[str, JSON]], unseen: NodeState, why: str
) -> Iterator[NodeRecord]:
    own = raw.get(name, {})
    items = own.get("items")
    if not items:  # not a map, not one yet, or an empty one
        yield _record(node, name, own, unseen, why)
        return
    whole, why = NodeState(str(own["state"])), str(own.get("why", why))
    if whole in (NodeState.UPSTREAM_FAILED, NodeState.SKIPPED, NodeState.CANCELLED):
        unseen = whole
    for index in range(int(cast("int", items))):
        yield from _parts(node, item_name(name, index), raw, unseen, why)


def _record(node: Node, name: str, raw: Mapping[str, JSON], unseen: NodeState, why: str = "") -> NodeRecord:
    state = NodeState(str(raw["state"])) if raw else unseen
    if state is NodeState.WAITING:
        state = unseen
    value = raw.get("value")
    attempts = cast("list[Mapping[str, JSON]]", raw.get("attempts") or [])
    return NodeRecord(
        name=name,
        stage=node.stage,
        queue=node.policy.queue,
        state=state,
        reused=bool(raw.get("reused", False)),
        started=_time(raw.get("started")),
        ended=_time(raw.get("ended")),
        value=json.loads(str(value)) if value is not None else None,
        why=str(raw.get("why", why)),
        attempts=tuple(_attempt(attempt) for attempt in attempts),
    )


def _with_progress(node: NodeRecord, told: AttemptProgress | None) -> NodeRecord:
    """The node with its progress, unless an attempt told it that did not live to take it back."""
    if told is None or node.state is not NodeState.RUNNING or told.number != len(node.attempts):
        return node
    return replace(node, progress=told.progress)


def _attempt(raw: Mapping[str, JSON]) -> AttemptRecord:
    started = _time(raw["started"])
    assert started is not None  # noqa: S101 - claim.lua always writes it
    return AttemptRecord(
        number=int(cast("int", raw["number"])),
        worker=str(raw["worker"]),
        started=started,
        ended=_time(raw.get("ended")),
        error=cast("str | None", raw.get("error")),
    )


def _time(microseconds: JSON) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=int(str(microseconds)))
