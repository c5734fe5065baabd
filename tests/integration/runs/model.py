"""What the run store is to do, in plain Python: one dictionary of tasks, and who works on what.

A method does what the transition of its name does, and answers what that one has to answer. A new transition
is one more method here, one in `play.py` that calls both and compares, and a rule in `machine.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from orchestrator.authoring.graph import NodeName
from orchestrator.runs.states import ALLOWED, NodeState, RunState
from orchestrator.runs.values import (
    AttemptCounts,
    Claim,
    ClaimedNext,
    ClaimStatus,
    Continuation,
    DueNode,
    Holder,
    Reopening,
    RunEnding,
    Settled,
)

from .shapes import Facts

LOST = Settled(accepted=False)

#: States in which a task waits for a worker.
UNCLAIMED = (NodeState.WAITING, NodeState.QUEUED, NodeState.RETRYING)

#: Which transition ends an attempt in which state.
ENDED_BY = {
    NodeState.SUCCEEDED: "commit",
    NodeState.FAILED: "fail",
    NodeState.RETRYING: "retry",
    NodeState.SKIPPED: "skip",
}


@dataclass
class Attempt:
    """One try of a task."""

    worker: str
    ended: bool = False
    lost: bool = False
    error: str | None = None

    def end(self, error: str | None = None, *, lost: bool = False) -> None:
        self.ended, self.error, self.lost = True, error, lost


@dataclass
class Task:
    """A node, or an item of a map, of which something is recorded."""

    state: NodeState = NodeState.WAITING
    attempts: list[Attempt] = field(default_factory=list)
    base: int = 0  #: attempts of earlier rounds
    holder: Holder | None = None
    items: int | None = None  #: of a map that became its items
    failed: int = 0  #: items of it
    incomplete: bool = False  #: an item of it could not run
    awaited: bool = False  #: a message is on its way that calls a worker to its items
    called: int = 0  #: the number of the latest such message
    reused: bool = False
    granted: tuple[str, str] | None = None  #: the token that settled it last, and which transition that was

    @property
    def tried(self) -> bool:
        """Whether this round has tried it."""
        return len(self.attempts) > self.base

    @property
    def counts(self) -> AttemptCounts:
        lost = sum(attempt.lost for attempt in self.attempts[self.base :])
        return AttemptCounts(len(self.attempts), len(self.attempts) - self.base - lost, lost)


@dataclass
class Model:
    """One run."""

    facts: Facts
    run: RunState | None = None
    broken: bool = False  #: a node failed whose failure counts
    stopped: tuple[str, set[str]] | None = None  #: the token that stopped all, and who was at work then
    handling: bool = False  #: what runs after a failure has become due
    tasks: dict[str, Task] = field(default_factory=dict)
    leases: dict[str, bool] = field(default_factory=dict)  #: by delivery: whether the lease has not ended yet
    revoked: set[str] = field(default_factory=set)  #: deliveries that an attempt was taken from
    vanished: set[str] = field(default_factory=set)  #: deliveries whose lease Redis lost
    alone: set[str] = field(default_factory=set)  #: nodes that nothing in the canvas brings
    events: list[tuple[str, str]] = field(default_factory=list)
    commits: Counter[str] = field(default_factory=Counter)  #: of this round, by task

    # What can be asked

    @property
    def is_open(self) -> bool:
        return self.run is not None and not self.run.over

    def state(self, name: str) -> NodeState:
        return self.tasks[name].state if name in self.tasks else NodeState.WAITING

    def succeeded(self, names: Iterable[str]) -> bool:
        return all(self.state(name) is NodeState.SUCCEEDED for name in names)

    def shown(self) -> list[NodeName]:
        """The names of all nodes in the order written, maps as their items where they have become these."""
        return [name for node in self.facts.graph.everything for name in self._parts(node.name)]

    def unfinished(self) -> int:
        """How many nodes and items are not over; of those that run after a failure, once that is due."""
        if not self.is_open:
            return 0
        left = (node.name for node in self.facts.graph if node.name not in self.facts.done)
        nodes = self.facts.handlers if self.handling else left
        return sum(not self.state(part).over for name in nodes for part in self._parts(name))

    def in_turn(self, name: str) -> bool:
        """Whether a node may start: before a failure, or after it."""
        return self.handling == (name in self.facts.handlers)

    def is_outdated(self, number: int) -> bool:
        """Whether a round of this number is an earlier one."""
        return number < self.facts.number

    def missing(self, name: str) -> int:
        """How many needs a node, or an item of a map, still misses."""
        needed = self.facts.left.get(self.facts.node(name).name, frozenset())
        follows = self.facts.follows(self.facts.node(name).name)
        missed = sum(
            not (self._is_expanded(need) if need in follows else self.succeeded([need])) for need in needed
        )
        return missed or int(self.facts.group(name) is not None and not self.is_fed(name))

    def has_all(self, name: str) -> bool:
        """Whether a node or an item may begin; of maps that it follows, an item needs the same items."""
        node, group = self.facts.node(name), self.facts.group(name)
        follows = self.facts.follows(node.name) if group or node.mapped else ()
        return self.succeeded(need for need in node.needs if need not in follows) and (
            self.is_fed(name) if group else all(map(self._is_expanded, follows))
        )

    def sources(self, item: str) -> list[NodeName]:
        """The items of other maps that an item waits for."""
        return [NodeName(item.replace(f"{map}[", f"{source}[")) for map, source in self._edges(item)]

    def _edges(self, item: str) -> list[tuple[NodeName, NodeName]]:
        name = self.facts.node(item).name
        return [(name, source) for source in self.facts.follows(name)]

    def is_fed(self, item: str) -> bool:
        """Whether all items that an item waits for are done."""
        return self.succeeded(self.sources(item))

    def _is_expanded(self, name: str) -> bool:
        return self.succeeded([name]) or (name in self.tasks and self.tasks[name].items is not None)

    def due(self) -> set[NodeName]:
        """What has all it needs and is not claimed: nodes, items with a message, maps with items left."""
        if not self.is_open:
            return set()
        names = self.facts.handlers if self.handling else list(self.facts.left)
        return {part for name in names if not self.missing(name) for part in self._due_parts(name)}

    def _due_parts(self, name: NodeName) -> Iterable[NodeName]:
        task = self.tasks.get(name)
        if task is None or task.items is None:
            return [name] if self.state(name) in UNCLAIMED else []
        items = self.facts.items(name)
        if name in self.facts.maps:
            return [item for item in items if self.state(item) in UNCLAIMED]
        again = [item for item in items if self.state(item) is NodeState.RETRYING]
        return [*again, *([name] if self.takeable(name) and task.state is not NodeState.CANCELLED else [])]

    def ready(self, task: str, *, again: bool = False) -> tuple[DueNode, ...]:
        """What a task has made due, or a map with its last item; `again` also expanded maps."""
        due = self.due()
        return tuple(
            DueNode(name, batch=self.tasks[name].called)
            if self._has_batches(name)
            else DueNode(name, name in self.alone)
            for name in self.facts.needed_by(task)
            if not due.isdisjoint(self._brought_by(name)) and (again or not self._has_batches(name))
        )

    def _brought_by(self, name: NodeName) -> list[NodeName]:
        """The names that are due if a node is."""
        return [name] if self._has_batches(name) else [name, *self._parts(name)]

    def _has_batches(self, name: NodeName) -> bool:
        return name in self.tasks and self.tasks[name].items is not None and name not in self.facts.maps

    def feed(self, name: str, done: set[str], *, again: bool = False) -> tuple[DueNode, ...]:
        """The maps that need a message, as items are done that items of theirs wait for."""
        told = []
        for follower in self.facts.followers(name):
            task = self.tasks.get(follower)
            if task is None or task.items is None:
                continue
            fresh = [
                item
                for item in self.facts.items(follower)
                if self.state(item) is NodeState.WAITING
                and self.is_fed(item)
                and not done.isdisjoint(self.sources(item))
            ]
            task.called += bool(fresh) and not task.awaited
            if (fresh and not task.awaited) or (again and self.takeable(follower)):
                told.append(DueNode(follower, batch=task.called))
            task.awaited = task.awaited or bool(fresh)
        return tuple(told)

    def called(self, name: str, number: int) -> None:
        """A batch has asked whether to call another one."""
        if name in self.tasks:
            self.tasks[name].awaited = bool(number)
            self.tasks[name].called = number or self.tasks[name].called

    def behind(self, name: str) -> tuple[DueNode, ...]:
        """What is due behind a map of which somebody takes items, but for what is to be tried later."""
        is_told = self.is_open and self.state(name) is NodeState.SUCCEEDED
        is_told = is_told or (
            self.in_turn(name) and self._is_expanded(name) and self.state(name) is not NodeState.CANCELLED
        )
        found = self.ready(name, again=True) if self.is_open and is_told else ()
        return tuple(each for each in found if self.state(each.node) is not NodeState.RETRYING)

    def found_none(self, name: str) -> None:
        """A worker that was called to a map's items has found none that is free."""
        ended = (NodeState.SUCCEEDED, NodeState.CANCELLED)
        if self.is_open and self.in_turn(name) and name in self.tasks and self.state(name) not in ended:
            self.tasks[name].awaited = False

    def held(self, name: str, token: str) -> Task | None:
        """The task, if who has this token, or is this delivery, works on it."""
        task = self.tasks.get(name)
        if task is None or task.state is not NodeState.RUNNING or task.holder is None:
            return None
        return task if token in (task.holder.token, task.holder.delivery) else None

    def takeable(self, name: str) -> list[int]:
        """The items of a map that nobody has, and for which no message is on its way."""
        free = (NodeState.WAITING, NodeState.QUEUED)
        return [
            index
            for index, item in enumerate(self.facts.items(name))
            if self.state(item) in free and self.is_fed(item)
        ]

    def is_lost(self, name: str) -> bool:
        """Whether a task runs without a lease: one that is over counts until the supervisor ends it."""
        holder = self.tasks[name].holder if name in self.tasks else None
        return holder is not None and holder.delivery not in self.leases

    # Transitions

    def submit(self) -> None:
        self.run = RunState.PENDING
        for name, items in self.facts.maps.items():
            self.tasks[name] = Task(NodeState.RUNNING, items=items)
        self._tell("", RunState.PENDING)

    def claim(self, name: str, holder: Holder) -> Claim:
        task = self.tasks.get(name) or Task()
        if self.run is None:
            return Claim(ClaimStatus.GONE, AttemptCounts(0))
        if self.is_outdated(holder.round):
            return Claim(ClaimStatus.OUTDATED, AttemptCounts(0))
        if task.state is NodeState.SUCCEEDED:
            return Claim(ClaimStatus.DONE, AttemptCounts(0), self.ready(name, again=True))
        if task.state.over or not self.is_open or not self.in_turn(name):
            return Claim(ClaimStatus.OVER, AttemptCounts(0))
        if task.items is not None:
            is_open = not all(self.state(item).over for item in self.facts.items(name))
            is_needed = name in self.due() or (task.awaited and is_open)
            return Claim(ClaimStatus.EXPANDED, AttemptCounts(task.items if is_needed else 0))
        if self.missing(name):
            self.alone.add(name)
            return Claim(ClaimStatus.EARLY, AttemptCounts(0))
        if task.holder is not None and task.holder.token == holder.token:
            return Claim(ClaimStatus.CLAIMED, task.counts)
        if task.state is NodeState.RUNNING and not self.is_lost(name):
            return Claim(ClaimStatus.HELD, AttemptCounts(0))
        if self.run is RunState.PENDING:
            self.run = RunState.RUNNING
            self._tell("", RunState.RUNNING)
        self.alone.discard(name)
        return Claim(ClaimStatus.CLAIMED, self.begin(name, holder))

    def begin(self, name: str, holder: Holder) -> AttemptCounts:
        """Open an attempt; one whose worker was lost ends."""
        task = self.tasks.setdefault(name, Task())
        if task.state is NodeState.RUNNING:
            task.attempts[-1].end("its worker was lost", lost=True)
            if task.holder is not None and task.holder.delivery != holder.delivery:
                self.revoked.add(task.holder.delivery)
        task.attempts.append(Attempt(holder.worker))
        task.holder = holder
        self.leases[holder.delivery] = True
        self._to(name, NodeState.RUNNING)
        return task.counts

    def commit(self, name: str, token: str, *, reused: bool, then: Continuation | None = None) -> Settled:
        fresh = self._end(name, token, NodeState.SUCCEEDED, drop_lease=True)
        if fresh:
            self.tasks[name].reused = reused
            self._count_item(name)
            settled = self._settle(name)
        else:
            settled = self._repeated(name, token, "commit")
        if not settled.accepted:
            return replace(settled, ready=())
        claimed = self._continue(then, fresh=fresh) if then is not None else None
        if then is not None and then.join and (claimed or then.left) and self._is_to_be_sent(then.join):
            self.alone.add(then.join)
        group = self.facts.group(name)
        fed = self.feed(group, {name} if fresh else set(), again=not fresh) if group else ()
        return replace(settled, ready=self.ready(name) + fed, claimed=claimed)

    def _continue(self, then: Continuation, *, fresh: bool) -> ClaimedNext | None:
        """Claim the first node that is due, or was claimed by the same call before."""
        due = self.due()
        for name in then.nodes:
            task = self.tasks.get(name) or Task()
            if task.holder is not None and task.holder.token == then.holder.token:
                return ClaimedNext(name, task.counts)
            if fresh and name in due and task.items is None and task.state is not NodeState.RETRYING:
                self.alone.discard(name)
                return ClaimedNext(name, self.begin(name, then.holder))
        return None

    def _is_to_be_sent(self, join: NodeName) -> bool:
        """Whether somebody has yet to send a join: it misses something, or is due."""
        if self.state(join) is NodeState.RUNNING and self.tasks[join].items is None:
            return False
        parts = {join, *self._parts(join)}
        return self.is_open and (self.missing(join) > 0 or not self.due().isdisjoint(parts))

    def commit_items(self, name: str, token: str, indexes: Iterable[int]) -> Settled:
        items = [self.facts.items(name)[index] for index in indexes]
        again = any(self._repeated(item, token, "commit").accepted for item in items)
        done = [item for item in items if self._end(item, token, NodeState.SUCCEEDED)]
        for item in done:
            self._count_item(item)
        if done:
            settled = self._settle(name)
        else:
            settled = Settled(True, self._ending_told(name) if again else RunEnding.NONE, self.ready(name))
        return replace(settled, ready=settled.ready + self.feed(name, set(done), again=again))

    def fail(self, name: str, token: str, error: str) -> Settled:
        group, task, stopped = self.facts.group(name), self.tasks.get(name), set[str]()
        own = {task.holder.delivery} if task and task.holder else set()
        if not self._end(name, token, NodeState.FAILED, error, drop_lease=group is None):
            told = self._repeated(name, token, "fail", self.ready(name) if group else ())
            again = self._stopped_by(token) if told.accepted else None
            return replace(told, stopped=tuple(sorted(again or ())))
        counts = not (group and self._tolerates(group))
        if counts:
            self.broken = True
            self._rest(self.facts.descendants(name), NodeState.UPSTREAM_FAILED)
        self._count_item(name)
        if counts and group:
            index = self.facts.items(group).index(NodeName(name))
            for follower in self.facts.followers(group):
                self._close_item(follower, index)
        if counts and self.facts.graph.fail_fast and not self.handling:
            stopped = self._stop(token, own)
            ending = self._finish()
        else:
            ending = self._settle(name).ending
        return Settled(True, ending, self.ready(name) if group else (), tuple(sorted(stopped)))

    def retry(self, name: str, token: str, error: str) -> Settled:
        plain = self.facts.group(name) is None
        ended = self._end(name, token, NodeState.RETRYING, error, drop_lease=plain)
        return (
            Settled(True) if ended else replace(self._repeated(name, token, "retry"), ending=RunEnding.NONE)
        )

    def skip(self, name: str, token: str) -> Settled:
        if not self._end(name, token, NodeState.SKIPPED, drop_lease=True):
            return self._repeated(name, token, "skip")
        self.tasks[name].attempts.clear()
        self._rest(self.facts.descendants(name), NodeState.SKIPPED)
        return Settled(True, self._settle(name).ending)

    def expand(self, name: str, token: str) -> Settled:
        task = self.held(name, token)
        if task is None or task.holder is None:
            return self._repeated(name, token, "expand", self.ready(name))
        items = self.facts.items(name)
        self.leases.pop(task.holder.delivery, None)
        join = self.facts.plan.chord_of(name)
        self.alone |= {join} if join else set()
        self.tasks[name] = Task(NodeState.RUNNING, items=len(items), granted=(token, "expand"), awaited=True)
        self._tell(name, "expanded")
        self.alone |= {each for each in self.facts.followers(name) if self.missing(each)}
        if self.succeeded(items):
            self._to(name, NodeState.SUCCEEDED)
        for index, item in reversed(list(enumerate(items))):
            states = map(self.state, self.sources(item))
            if any(state.over and state is not NodeState.SUCCEEDED for state in states):
                self._close_item(NodeName(name), index)
        return self._settle(name)

    def detach(self, join: str) -> None:
        if self.is_open:
            self.alone.add(join)

    def return_items(self, name: str, token: str, indexes: Iterable[int]) -> int:
        count = 0
        for item in map(self.facts.items(name).__getitem__, indexes):
            task = self.held(item, token)
            if task is not None:
                task.attempts.pop()
                task.holder = None
                self._to(item, NodeState.QUEUED)
                count += 1
        if not count:
            return 0
        whole = self.tasks[name]
        whole.called, whole.awaited = whole.called + 1, True
        return whole.called

    def renew(self, delivery: str) -> bool:
        if delivery in self.revoked:
            return False
        if delivery in self.leases:
            self.leases[delivery] = True
        return True

    def expire(self, delivery: str) -> None:
        """Time passes, and nobody renews this lease."""
        self.leases[delivery] = False

    def vanish(self, delivery: str) -> None:
        """Redis loses the last it has written."""
        del self.leases[delivery]
        self.vanished.add(delivery)

    def drop_lease(self, delivery: str) -> None:
        self.leases.pop(delivery, None)

    def mark_lost(self, delivery: str, error: str, *, revoked: bool) -> int:
        lost = [name for name in self.tasks if self.held(name, delivery)]
        for name in lost:
            self.tasks[name].attempts[-1].end(error, lost=True)
            self.tasks[name].holder = None
            self._to(name, NodeState.QUEUED)
        self.leases.pop(delivery, None)
        self.revoked |= {delivery} if revoked and self.is_open else set()
        return len(lost)

    def cancel(self, token: str) -> set[str] | None:
        if self.run is RunState.CANCELLED:
            return self.stopped[1] if self.stopped else None
        if not self.is_open:
            return self._stopped_by(token)
        at_work = self._stop(token)
        self._end_run(RunState.CANCELLED)
        return at_work

    def reopen(self, reopening: Reopening, facts: Facts) -> RunEnding:
        before, self.facts = self.tasks, facts
        for task in before.values():
            if task.attempts and not task.attempts[-1].ended:
                task.attempts[-1].end(lost=True)
            if task.holder is not None:
                self.revoked.add(task.holder.delivery)
        kept = {name: Task(attempts=task.attempts, base=len(task.attempts)) for name, task in before.items()}
        self.tasks = {name: task for name, task in kept.items() if task.attempts}
        self.tasks |= {name: before.get(name) or Task() for name in reopening.kept}
        for name in reopening.kept:
            if not self.state(name).over:
                self.tasks[name].state = NodeState.UPSTREAM_FAILED
            self._close(name)
        for name in reopening.done:
            task = self.tasks[name] = before.get(name) or Task()
            if task.state is not NodeState.SUCCEEDED:
                task.granted = None
            task.state, task.holder, task.reused = NodeState.SUCCEEDED, None, True
        for name, (items, left) in reopening.maps.items():
            self.tasks[name] = Task(NodeState.RUNNING if left else NodeState.SUCCEEDED, items=items)
        self.alone.clear()
        self.leases.clear()
        self.vanished.clear()
        self.commits.clear()
        self.broken, self.handling = self.broken and bool(reopening.kept), False
        self.run = RunState.RUNNING
        self._tell("", RunState.RUNNING)
        return RunEnding.NONE if reopening.open else self._finish()

    def wipe(self) -> None:
        """Redis loses all it has."""
        self.run, self.broken, self.handling, self.stopped = None, False, False, None
        for kept in (self.tasks, self.leases, self.revoked, self.vanished, self.alone, self.commits):
            kept.clear()

    # What several of them do

    def _parts(self, name: NodeName) -> list[NodeName]:
        task = self.tasks.get(name)
        return self.facts.items(name) or [name] if task is not None and task.items is not None else [name]

    def _to(self, name: str, state: NodeState) -> None:
        task = self.tasks.setdefault(name, Task())
        assert state in ALLOWED[task.state], f"{name} may not go from {task.state} to {state}"
        task.state = state
        self._tell(name, state)
        if state is NodeState.SUCCEEDED:
            self.commits[name] += 1

    def _tell(self, name: str, what: str) -> None:
        self.events.append((name, str(what)))

    def _end(
        self, name: str, token: str, state: NodeState, error: str | None = None, *, drop_lease: bool = False
    ) -> bool:
        """End an attempt; False if it is not the one that may."""
        task = self.held(name, token)
        if task is None or task.holder is None:
            return False
        if drop_lease:
            self.leases.pop(task.holder.delivery, None)
        task.attempts[-1].end(error)
        task.holder = None
        task.granted = (token, ENDED_BY[state])
        self._to(name, state)
        return True

    def _repeated(self, name: str, token: str, what: str, ready: tuple[DueNode, ...] = ()) -> Settled:
        """The answer to a token that works on nothing: who was granted the same before is told so again."""
        task = self.tasks.get(name)
        if task is None or task.granted != (token, what):
            return LOST
        return Settled(True, self._ending_told(name), ready)

    def _ending_told(self, name: str) -> RunEnding:
        if not self.is_open:
            return RunEnding.OVER
        return RunEnding.HANDLERS if self.handling and name not in self.facts.handlers else RunEnding.NONE

    def _tolerates(self, group: NodeName) -> bool:
        """Count a failed item of a map; if they are too many, the map has failed."""
        whole, node = self.tasks[group], self.facts.graph[group]
        whole.failed += 1
        if whole.failed <= self.facts.shape.lengths[group] * node.policy.tolerate:
            return True
        if whole.state is NodeState.RUNNING:
            self._to(group, NodeState.FAILED)
        return False

    def _count_item(self, name: str) -> None:
        """A map is done with its last item."""
        group = self.facts.group(name)
        if group is None or self.tasks[group].state is not NodeState.RUNNING:
            return
        if all(self.state(item).over for item in self.facts.items(group)):
            incomplete = self.tasks[group].incomplete
            self._to(group, NodeState.UPSTREAM_FAILED if incomplete else NodeState.SUCCEEDED)

    def _close_item(self, name: NodeName, index: int) -> None:
        """An item cannot run, as one that it waits for has not succeeded; nor can those behind it."""
        item = self.facts.items(name)[index]
        if not self._is_expanded(name) or self.state(item).over:
            return
        self._to(item, NodeState.UPSTREAM_FAILED)
        self.tasks[name].incomplete = True
        self._count_item(item)
        for follower in self.facts.followers(name):
            self._close_item(follower, index)

    def _rest(self, names: Iterable[NodeName], state: NodeState) -> None:
        """Put nodes to rest that will not run, maps with their items."""
        for name in names:
            for each in dict.fromkeys([name, *self._parts(name)]):
                if not self.state(each).over:
                    self._to(each, state)

    def _settle(self, name: str) -> Settled:
        ending = RunEnding.NONE if self.unfinished() else self._finish()
        return Settled(True, ending, self.ready(name))

    def _close(self, name: str) -> None:
        """A map that has ended without success stays so: none of its items starts any more."""
        if self.tasks[name].items is None:
            return
        for item in self.facts.items(name):
            task = self.tasks.setdefault(item, Task())
            if not task.state.over:
                task.state, task.holder = NodeState.CANCELLED, None

    def _stopped_by(self, token: str) -> set[str] | None:
        return self.stopped[1] if self.stopped and self.stopped[0] == token else None

    def _stop(self, token: str, own: Collection[str] = ()) -> set[str]:
        """All that is open ends, but for what is to run after a failure; returns who else is at work."""
        at_work = set()
        for name, task in self.tasks.items():
            if task.holder is not None:
                at_work.add(task.holder.delivery)
                task.attempts[-1].end("cancelled")
                task.holder = None
            due_later = task.state is NodeState.WAITING and name in self.facts.handlers
            if not task.state.over and not due_later:
                self._to(name, NodeState.CANCELLED)
        self.leases.clear()
        self.alone.clear()
        self.revoked |= at_work.difference(own)
        self.stopped = token, at_work.difference(own)
        return self.stopped[1]

    def _finish(self) -> RunEnding:
        """Nothing is open: the run ends, or what runs after a failure is due."""
        if self.broken and self.facts.handlers and not self.handling:
            self.handling = True
            for name in self.facts.handlers:
                self._to(name, NodeState.QUEUED)
            return RunEnding.HANDLERS
        self._end_run(RunState.FAILED if self.broken else RunState.SUCCEEDED)
        return RunEnding.OVER

    def _end_run(self, state: RunState) -> None:
        self.run = state
        self.leases.clear()
        self.alone.clear()
        self._tell("", state)
