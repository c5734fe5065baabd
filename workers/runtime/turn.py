"""Continue in place: a delivery runs the nodes that follow as well, with no message between them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic, time
from typing import assert_never
from uuid import uuid4

from billiard.compat import mem_rss
from celery.app.task import Context
from redis.exceptions import RedisError

from orchestrator.authoring.graph import NodeName
from orchestrator.authoring.stage import stages
from orchestrator.messaging.app import app
from orchestrator.messaging.priorities import any_waits, level
from orchestrator.runs.values import ClaimedNext, Continuation, DueNode
from workers.runtime.claimed_node import SUPERSEDED, ClaimedNode, Delivery
from workers.runtime.code_check import is_outdated
from workers.runtime.dispatch import (
    conclude_again,
    halt,
    leave_canvas,
    send_by_itself,
    send_consequences,
    send_ending,
    send_items,
    send_others,
    send_ready,
)
from workers.runtime.execute import execute, run_claimed
from workers.runtime.outcome import Again, BatchOutcome, Committed, Expanded, Failed, Outcome, Stopped
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext
from workers.runtime.turn_log import Kind, TurnEvent, TurnWriter

#: What Celery is told of a node that is committed.
COMMITTED = "committed"
#: A turn ends after so many nodes, or so many seconds if messages wait, so that these get theirs.
NODES, SECONDS = 64, 0.5
#: Seconds after which it ends in any case: a shutdown waits for it.
LONGEST = 3.0


@dataclass
class Turn:
    """The nodes that one delivery runs; `node` is the one that it is at."""

    delivery: Delivery
    context: RunContext
    request: Context
    resources: WorkerResources
    node: NodeName = field(init=False)
    continued: bool = False  #: beyond the node of its message: the canvas has been left
    _nodes: int = 1

    def __post_init__(self) -> None:
        self.node = NodeName(self.delivery.node)
        self._until, self._last = monotonic() + SECONDS, monotonic() + LONGEST
        self._next = self.delivery.holder(uuid4().hex)
        self._log = TurnWriter(self._next.delivery)
        policy = self.context.node_ref(self.node).node.policy
        self._may_continue = policy.time_limit is None  # it holds for the whole delivery
        self._queue = (self.request.delivery_info or {}).get("routing_key", policy.queue)
        self._level = level(policy.priority)

    def run(self) -> Outcome:
        """Run the node of the message and those that follow; return the outcome of the last one."""
        outcome = execute(self.delivery, self.resources, self._then)
        return self._continue(outcome, with_any=self.delivery.redelivered)

    def run_behind(self, batch: BatchOutcome) -> Outcome:
        """Run what follows a map whose last item a batch has recorded; return the last outcome."""
        return self._continue(Committed(batch.ready, batch.ending), with_any=True)

    def _continue(self, outcome: Outcome, *, with_any: bool) -> Outcome:
        """Run on after an outcome, with the node claimed by it or, `with_any`, with one that is due by it."""
        while isinstance(outcome, Committed):
            if outcome.claimed is not None:
                claimed, self._next = self._claimed(outcome.claimed), self.delivery.holder(uuid4().hex)
                self._move_to(claimed.ref.name, outcome)
                outcome = run_claimed(claimed, self._then)
            elif with_any and (found := self._first_of(outcome.ready)) is not None:
                leave_canvas(self.context, self.node, self.resources)
                due = tuple(replace(each, alone=True) for each in outcome.ready)
                self._move_to(found, Committed(due, outcome.ending))
                outcome = execute(replace(self.delivery, node=found), self.resources, self._then)
            else:
                break
        return outcome

    def _then(self, ref: NodeRef) -> Continuation:
        """What to continue with once a node is committed: the chain's next before others."""
        return Continuation(
            nodes=tuple(self._takeable(self.context.needed_by(ref))),
            holder=self._next,
            join=self.context.plan.chord_of(ref.name),
            left=self.continued,
        )

    def _first_of(self, ready: Iterable[DueNode]) -> NodeName | None:
        return next(iter(self._takeable(each.node for each in ready if each.batch is None)), None)

    def _takeable(self, nodes: Iterable[NodeName]) -> list[NodeName]:
        if not self._may_continue or self._nodes >= NODES or self._is_over() or self._is_fat():
            return []
        return [name for name in nodes if self._may_take(name)]

    def _is_over(self) -> bool:
        """Whether the turn has had its time."""
        now = monotonic()
        if now > self._until and now < self._last and not self._others_wait():
            self._until = now + SECONDS
        return now > self._until

    def _others_wait(self) -> bool:
        """Whether messages wait for this worker, as far as Redis can tell."""
        with suppress(RedisError):
            return any_waits(self.resources.runs.client, app.amqp.queues.consume_from)
        return True

    def _may_take(self, name: NodeName) -> bool:
        """Whether a node may run here and now: it would have come to this queue, and its limits allow it."""
        node = self.context.graph[name]
        policy, place = node.policy, self.context.plan.places.get(name)
        return (
            place is not None
            and (policy.queue, level(policy.priority), policy.time_limit) == (self._queue, self._level, None)
            and node.stage in stages
            and not self.context.plan.written_out(node)
            and not is_outdated(self.context, node)
        )

    def _is_fat(self) -> bool:
        """Whether this process has used more memory than it may: it is replaced after the message."""
        limit = self.resources.settings.memory_limit
        return limit is not None and mem_rss() * 1024 > limit

    def _claimed(self, next: ClaimedNext) -> ClaimedNode:
        ref = self.context.node_ref(next.node)
        token, redelivered = self._next.token, self.delivery.redelivered
        return ClaimedNode(self.context, ref, token, next.counts, redelivered, self.resources)

    def _move_to(self, name: NodeName, outcome: Committed) -> None:
        """Continue with a node; others that its predecessor made due are sent to whoever is free."""
        place = None if self.continued else self.request
        ready = [each for each in outcome.ready if each.node != name]
        send_others(self.context, self.node, name, ready, self.resources, place)
        send_ending(self.context, outcome.ending, self.resources)
        halt(self.request)
        self._tell("succeeded", COMMITTED)
        self.node, self.continued = name, True
        self._tell("started")
        self._nodes += 1

    def finish(self, outcome: Outcome) -> None:
        """Send what the outcome of a turn's last node requires: that node has no message of its own."""
        context, resources = self.context, self.resources
        kind: Kind = "succeeded"
        match outcome:
            case Committed(ready, ending):
                send_ready(context, self.node, ready, resources)
                send_ending(context, ending, resources)
                told = COMMITTED
            case Again(error, wait):
                send_by_itself(context, self.node, resources, wait=wait)
                kind, told = "retried", error
            case _:
                told = settle(context, self.node, outcome, resources)
                kind = "failed" if isinstance(outcome, Failed) else kind
        self._tell(kind, told)

    def _tell(self, kind: Kind, told: str = "") -> None:
        task = self.context.canvas.task_id(self.node) if self.continued else self.delivery.message
        name = self.context.node_ref(self.node).node.stage
        self._log.tell(TurnEvent(kind, task, name, self.node, time(), told))


def settle(
    context: RunContext, node: NodeName, outcome: Expanded | Stopped | Failed, resources: WorkerResources
) -> str:
    """Send what an outcome requires behind which no canvas continues; return what Celery is told of it."""
    match outcome:
        case Expanded(items, ready, ending):
            send_ready(context, node, ready, resources)
            send_items(context, node, items)
            send_ending(context, ending, resources)
            return f"{items} items"
        case Stopped(why, ending, ready):
            send_ready(context, node, ready, resources)
            send_ending(context, ending, resources)
            if outcome is SUPERSEDED:
                conclude_again(context.run, context.node_ref(node).node.policy.queue, resources)
            return why
        case Failed(error):
            send_consequences(context, node, outcome, resources)
            return error
        case _:
            assert_never(outcome)
