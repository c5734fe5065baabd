"""Send the messages that follow a node, at the node's position in its canvas."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celery.app.task import Context
from kombu import Message

from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.graph import NodeName
from orchestrator.compiler.plan import Link, first_of
from orchestrator.lifecycle.ending import queue_with_mlflow, send_conclusion, terminate
from orchestrator.messaging.app import app
from orchestrator.messaging.tasks import DELIVER, TIMED_OUT, UNKNOWN
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.values import DueNode, RunEnding, Settled
from workers.runtime.outcome import BatchOutcome, Failed
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext

log = logging.getLogger("orchestrator.dispatch")


def pass_on(
    context: RunContext,
    node: str,
    ready: Iterable[DueNode],
    request: Context,
    resources: WorkerResources,
) -> None:
    """Send the nodes that a node made ready, except what Celery sends: the chain's next, the chord's body."""
    ref = context.node_ref(node)
    carried = _carried(context, ref, request)
    due = {each.node for each in ready}
    send_ready(
        context,
        node,
        [each for each in ready if each.node not in carried or (each.alone and not request.chain)],
        resources,
        place=request if ref.index is None else None,
    )
    ends_before_its_sequence = (
        not request.chain and ref.index is None and _following(context, ref) is not None
    )
    if ends_before_its_sequence or (request.chain and due.isdisjoint(carried)):
        halt(request)  # the rest was sent above with its position in the chord, or must not run


def send_items(context: RunContext, node: str, count: int) -> None:
    """Call a worker to a map's items; the worker that records the last item sends what follows the map."""
    if count:
        send_batch(context, node, 0)


def send_batch(context: RunContext, node: str, number: int) -> None:
    """Call a worker to the remaining items of a map; 0 begins anew."""
    context.canvas.batch(NodeName(node), number).apply_async()


def send_item(context: RunContext, map: str, index: int, wait: float) -> None:
    """Enqueue a retry of one map item, to be delivered after `wait` seconds."""
    context.canvas.item(NodeName(map), index).apply_async(countdown=wait)


def send_others(
    context: RunContext,
    node: str,
    taken: NodeName,
    ready: Iterable[DueNode],
    resources: WorkerResources,
    place: Context | None,
) -> None:
    """Send the nodes that a node made ready, except `taken`, with which its delivery continues in place."""
    following = _following(context, context.node_ref(node))
    due = {each.node for each in ready}
    if following is not None and following.heads and taken in first_of(following):
        for head in following.heads:  # by themselves: their chord would not count the one that was taken
            if due.intersection(head.first):
                context.canvas.sequence(head).apply_async()
                due.difference_update(head.first)
    send_ready(context, node, [each for each in ready if each.node in due], resources, place)


def send_lost(
    context: RunContext,
    node: str,
    ready: Iterable[DueNode],
    request: Context,
    resources: WorkerResources,
) -> None:
    """Send the due nodes that an earlier delivery of a node died before it sent.

    They are further behind the node, where that delivery had continued, or the body of a chord that has
    counted it.
    """
    ref = context.node_ref(node)
    direct = context.needed_by(ref)
    body = () if request.chain else _carried(context, ref, request)
    for each in ready:
        if each.batch is not None:
            continue
        if each.node not in direct or (each.node in body and not each.alone):
            send_by_itself(context, each.node, resources)


def send_lost_handlers(context: RunContext, resources: WorkerResources) -> None:
    """Send the failure handlers that are due, as an earlier delivery may have died before it did."""
    if not context.graph.handlers:
        return
    due = set(RunReader(resources.runs.client).overdue(context.run, 0.0))
    for handler in context.graph.handlers:
        if handler.name in due:
            context.canvas.by_itself(handler.name).apply_async()


def send_ready(
    context: RunContext,
    node: str,
    ready: Iterable[DueNode],
    resources: WorkerResources,
    place: Context | None = None,
) -> None:
    """Send the nodes that a node, or the last item of a map, made ready, each with its successors.

    To the items of a map that became ready, a worker is called.
    """
    ref, plan = context.node_ref(node), context.plan
    alone = {}
    for each in ready:
        if each.batch is not None:
            send_batch(context, each.node, each.batch)
        else:
            alone[each.node] = each.alone
    if not alone:
        return
    for side in plan.link(ref.node.name).sides:
        if _take(alone, side.first):
            context.canvas.sequence(side).apply_async()
    following = _following(context, ref)
    if following is not None and _take(alone, first_of(following)):
        onward = context.canvas.onward(ref.node.name)
        if place is not None and place.chord:
            onward.set(chord=place.chord, group_id=place.group, group_index=place.group_index)
        else:
            leave_canvas(context, ref.node.name, resources)
        onward.apply_async()
    for name, left_canvas in alone.items():
        if left_canvas or name in plan.woken:
            send_by_itself(context, name, resources)


def _take(names: dict[NodeName, bool], those: Iterable[NodeName]) -> bool:
    """Remove `those` from `names`; return whether any of them was present."""
    found = names.keys() & set(those)
    for name in found:
        del names[name]
    return bool(found)


def _following(context: RunContext, ref: NodeRef) -> Link | None:
    name = ref.node.name
    # failure handlers have no position in the canvas
    return context.plan.following(name) if name in context.plan.places else None


def _carried(context: RunContext, ref: NodeRef, request: Context) -> tuple[NodeName, ...]:
    """Return the nodes that Celery itself sends after this message."""
    following = _following(context, ref)
    if request.chain and following is not None:
        return first_of(following)
    if request.chord and following is not None and ref.index is not None:
        return (following.node,)
    join = context.plan.chord_of(ref.node.name) if request.chord and following is None else None
    return (join,) if join is not None else ()


def leave_canvas(context: RunContext, name: NodeName, resources: WorkerResources) -> None:
    """Detach the join of a chord whose branch leaves the canvas: its last input's worker sends the join."""
    join = context.plan.chord_of(name)
    if join is not None:
        resources.runs.detach(context.run, join)


def send_by_itself(
    context: RunContext, node: NodeName, resources: WorkerResources, *, wait: float | None = None
) -> None:
    """Send a node outside the canvas, without its position in a chord; delivered after `wait` seconds."""
    leave_canvas(context, node, resources)
    context.canvas.by_itself(node).apply_async(countdown=wait)


def send_ending(context: RunContext, ending: RunEnding, resources: WorkerResources) -> None:
    """Send the failure handlers or the conclusion task if the run has reached that point."""
    match ending:
        case RunEnding.HANDLERS:
            context.canvas.handlers().apply_async()
        case RunEnding.OVER:
            send_conclusion(context.run, resources.runs.client, context.graph.queues)


def send_consequences(
    context: RunContext, node: str, settled: Failed | BatchOutcome | Settled, resources: WorkerResources
) -> None:
    """Terminate the running deliveries of a run that failed fast, and send the nodes that became ready."""
    terminate(settled.stopped)
    send_ready(context, node, settled.ready, resources)
    send_ending(context, settled.ending, resources)


def fail_unreadable(run: RunId, error: StoreError, queue: str, resources: WorkerResources) -> None:
    """Fail a run whose specification no worker can read, and enqueue its conclusion on this queue."""
    log.error(
        "run %s has failed: nobody can read what it consists of: %s",
        run,
        error,
        extra={"action": "run_unreadable", "run": run},
    )
    if resources.runs.fail_run(run, error=f"{type(error).__name__}: {error}"):
        send_conclusion(run, resources.runs.client, [queue])


def conclude_again(run: RunId, queue: str, resources: WorkerResources) -> None:
    """Enqueue another conclusion of a run that is over: the first may overlap with its last process's end.

    A paused attempt may have written to MLflow since, before it found out that its node was taken over.
    """
    if RunReader(resources.runs.client).end(run) is not None:
        send_conclusion(run, resources.runs.client, [queue])


def send_outbox_deliveries(resources: WorkerResources) -> None:
    """Enqueue delivery of the outboxes now that MLflow answers, instead of waiting for the runs to end."""
    for run in resources.runs_with_due_outboxes():
        queue = queue_with_mlflow(resources.runs.client, resources.context(run).graph.queues)
        app.signature(DELIVER, kwargs={"run": run}, queue=queue, immutable=True).apply_async()


def send_timed_out(run: str, delivery: str, message: str, queue: str) -> None:
    """Enqueue the task that retries or fails the node of a delivery killed at its time limit."""
    kwargs = {"run": run, "delivery": delivery, "message": message}
    app.signature(TIMED_OUT, kwargs=kwargs, queue=queue, immutable=True).apply_async()


def send_unknown(run: str, node: str, stage: str, queue: str, *, round: int, batch: bool) -> None:
    """Enqueue the task that fails a node, or the remaining items of a map, whose stage is not registered."""
    kwargs = {"run": run, "node": node, "stage": stage, "round": round, "batch": batch}
    app.signature(UNKNOWN, kwargs=kwargs, queue=queue, immutable=True).apply_async()


def send_again(message: Message, queue: str) -> None:
    """Publish a message again unchanged, for another worker."""
    kept = {name: message.properties.get(name) for name in ("correlation_id", "reply_to", "priority")}
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            message.body,
            exchange="",
            routing_key=queue,
            headers=message.headers,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            **kept,
        )


def halt(request: Context) -> None:
    """End the canvas here: Celery sends nothing after this message, and no chord counts it."""
    request.chain = None
    request.chord = None
    request.callbacks = None
    request.errbacks = None
