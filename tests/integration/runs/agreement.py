"""Compares what Redis has of a run with the model of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from orchestrator.run_id import RunId
from orchestrator.runs.keys import UNFINISHED_RUNS, RunKeys
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord
from orchestrator.runs.states import ALLOWED, ALLOWED_OF_RUNS, NodeState, RunState

from .model import Model


@dataclass
class Kept:
    """Everything that Redis has of a run."""

    meta: Mapping[str, str]
    tasks: Mapping[str, Mapping[str, Any]]
    leases: Mapping[str, float]
    missing: Mapping[str, int]
    due: frozenset[str]
    alone: frozenset[str]
    revoked: frozenset[str]
    taken: Mapping[str, str]
    is_listed: bool

    @classmethod
    def read(cls, client: redis.Redis, run: RunId) -> Kept:
        keys = RunKeys(run)
        with client.pipeline(transaction=True) as pipe:
            for key in (keys.meta, keys.nodes, keys.missing, keys.taken):
                pipe.hgetall(key)
            pipe.sismember(UNFINISHED_RUNS, run)
            pipe.zrange(keys.leases, 0, -1, withscores=True)
            pipe.zrange(keys.due, 0, -1)
            pipe.smembers(keys.alone)
            pipe.smembers(keys.revoked)
            meta, tasks, missing, taken, is_listed, leases, due, *sets = pipe.execute()
        return cls(
            meta=meta,
            tasks={name: json.loads(text) for name, text in tasks.items()},
            leases=dict(leases),
            missing={name: int(count) for name, count in missing.items()},
            due=frozenset(due),
            alone=frozenset(sets[0]),
            revoked=frozenset(sets[1]),
            taken=taken,
            is_listed=bool(is_listed),
        )

    def state(self, name: str) -> NodeState:
        return NodeState(self.tasks[name]["state"]) if name in self.tasks else NodeState.WAITING


@dataclass
class Agreement:
    """Holds one run in Redis against its model, step by step."""

    client: redis.Redis
    run: RunId
    model: Model
    position: str = "0"  #: in the run's event stream
    before: Kept | None = None

    def check(self, *, new_round: bool = False) -> None:
        """Fail unless Redis is where the model is, and came there by changes that are allowed and told."""
        kept = Kept.read(self.client, self.run)
        events = RunReader(self.client).events(self.run, self.position)
        self.position = events[-1].position if events else self.position
        told = [(event.node, event.state) for event in events]
        assert Counter(told) == Counter(self.model.events)
        if self.before is not None and not new_round:
            self._check_changes(self.before, kept, dict(told))
        self.model.events.clear()
        self.before = kept
        self._check_state(kept)
        if self.model.run is not None:
            self._check_reading()

    def _check_changes(self, before: Kept, after: Kept, told: Mapping[str, str]) -> None:
        was, is_ = before.meta.get("state"), after.meta.get("state")
        if was and is_ and was != is_:
            assert RunState(is_) in ALLOWED_OF_RUNS[RunState(was)], f"a run may not go from {was} to {is_}"
        for name in {*before.tasks, *after.tasks}:
            old, new = before.state(name), after.state(name)
            if old != new:
                assert new in ALLOWED[old], f"{name} may not go from {old} to {new}"
                assert told[name] == new

    def _check_state(self, kept: Kept) -> None:
        model = self.model
        assert kept.meta.get("state") == model.run
        assert kept.is_listed == (model.run is not None)
        if model.is_open:
            assert ("handling" in kept.meta) == model.handling
        assert int(kept.meta.get("open", 0)) == model.unfinished()
        assert {name: kept.state(name) for name in kept.tasks} == {
            name: task.state for name, task in model.tasks.items()
        }
        self._check_due(kept)
        now = self.client.time()[0] * 1000
        assert {delivery: end > now for delivery, end in kept.leases.items()} == model.leases
        assert kept.revoked == model.revoked
        for name, task in kept.tasks.items():
            self._check_holder(name, task, kept)
        assert all(count == 1 for count in model.commits.values())
        if not model.is_open:
            assert not kept.leases
            assert not kept.due
            assert not kept.missing
            assert not kept.alone
            assert not kept.taken
            assert model.run is None or kept.meta["ended"]

    def _check_due(self, kept: Kept) -> None:
        """What is due is known to be so: a message that is lost is missed."""
        model = self.model
        expanded = {name for name, task in kept.tasks.items() if "next" in task}
        assert kept.due - expanded == model.due() - expanded
        assert kept.due >= model.due()
        assert kept.alone == model.alone
        if model.is_open and not model.handling:
            open_nodes = [name for name in model.facts.left if not model.state(name).over]
            expected = {name: model.missing(name) for name in open_nodes}
            assert {name: kept.missing.get(name, 0) for name in open_nodes} == expected

    def _check_holder(self, name: str, task: Mapping[str, Any], kept: Kept) -> None:
        expected = self.model.tasks[name].holder
        holder = (task["token"], task["holder"]) if "token" in task else None
        assert holder == (expected and (expected.token, expected.delivery))
        runs = task["state"] == NodeState.RUNNING and "items" not in task
        assert runs == (holder is not None), f"{name} is {task['state']}, held by {holder}"
        noticed = {*kept.leases, *self.model.vanished}
        assert holder is None or holder[1] in noticed, f"nobody would notice if {name} was lost"

    def _check_reading(self) -> None:
        graph = self.model.facts.graph
        record = RunReader(self.client).read(self.run, graph)
        assert record.state == self.model.run
        assert (record.ended is not None) == record.state.over
        assert (record.error is not None) >= (record.state is RunState.FAILED)
        assert [node.name for node in record.nodes] == self.model.shown()
        for node in record.nodes:
            self._check_node(node)
            assert not record.state.over or node.state.over, f"{node.name} is {node.state} in an ended run"

    def _check_node(self, node: NodeRecord) -> None:
        task = self.model.tasks.get(node.name)
        assert node.state == self._shown_as(node.name)
        assert node.reused == (task is not None and task.reused)
        assert list(_attempts(node)) == [
            (number, attempt.worker, attempt.ended)
            for number, attempt in enumerate(task.attempts if task else (), 1)
        ]
        if task and task.attempts and task.attempts[-1].error:
            assert node.error == task.attempts[-1].error

    def _shown_as(self, name: str) -> NodeState:
        """A node of which nothing is recorded is queued once its needs are done."""
        state = self.model.state(name)
        if state is not NodeState.WAITING:
            return state
        if self.model.run is RunState.SUCCEEDED:
            return NodeState.SKIPPED
        if not self.model.is_open or self.model.handling:
            return NodeState.CANCELLED
        awaited = name in self.model.facts.handlers
        started = not awaited and self.model.succeeded(self.model.facts.node(name).needs)
        return NodeState.QUEUED if started else state


def _attempts(node: NodeRecord) -> Iterator[tuple[int, str, bool]]:
    for attempt in node.attempts:
        yield attempt.number, attempt.worker, attempt.ended is not None
