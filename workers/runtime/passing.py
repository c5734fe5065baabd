"""Passes a run on: sends what follows a node, in the place that the node has in its canvas."""

from __future__ import annotations

import json

from celery.app.task import Context
from celery.canvas import Signature
from kombu import Message

from orchestrator.app import app
from orchestrator.coordinator.cancelling import terminate
from orchestrator.coordinator.concluding import send_conclusion_to
from orchestrator.runs.presence import served_queues
from orchestrator.runs.values import Ending, Ready, Settled
from workers.runtime.job import Job, join_of
from workers.runtime.outcome import Failed, Shared
from workers.runtime.workshop import Workshop

#: The task that delivers what could not be logged while MLflow was away.
DELIVER = "orchestrator.deliver"
#: Queues whose workers load MLflow before their first message.
LOADED = ("training", "deployment")
#: The task that judges a node whose process was killed at its time limit.
OVERDUE = "orchestrator.overdue"

#: The task that fails a node for whose stage a worker has no code.
UNKNOWN = "orchestrator.unknown"


def send_onward(job: Job, node: str, request: Context) -> None:
    """Send what a cut-off message did not carry: what the node starts beside it, and what comes next."""
    for side in job.canvas.sides(job.task(node).node.name):
        side.apply_async()
    onward = job.canvas.onward(job.task(node).node.name)
    if onward is not None:
        _in_place_of(request, onward).apply_async()
        halt(request)


def send_items(job: Job, node: str, count: int, request: Context, workshop: Workshop, *, more: bool) -> None:
    """Call workers to the items of a map; what follows it is parked until the last of them is done."""
    name = job.task(node).node.name
    if more or request.chord:
        join = _in_place_of(request, job.canvas.join(name))
        if not workshop.runs.park(job.run, join_of(name), json.dumps(join), [name], round=job.round.number):
            join.apply_async()
    if count:
        job.canvas.shares(name, count).apply_async()
    halt(request)


def send_share(job: Job, node: str, number: int) -> None:
    """Call a worker to the items of a map that are left."""
    job.canvas.share(job.task(node).node.name, number).apply_async()


def send_item(job: Job, node: str, index: int, wait: float) -> None:
    """Have one item of a map tried again."""
    job.canvas.item(job.task(node).node.name, index).apply_async(countdown=wait)


def send_ready(job: Job, ready: tuple[Ready, ...], workshop: Workshop) -> None:
    """Send parked messages whose nodes have all they wait for; only then are they forgotten."""
    for each in ready:
        Signature.from_dict(json.loads(each.message), app=app).apply_async()
    if ready:
        workshop.runs.unpark(job.run, [each.node for each in ready])


def send_ending(job: Job, ending: Ending, workshop: Workshop) -> None:
    """Send what the end of a run asks for, if this was its end."""
    match ending:
        case Ending.HANDLERS:
            job.canvas.handlers().apply_async()
        case Ending.OVER:
            send_conclusion_to(job.run, _queue_with_mlflow(job, workshop))


def send_consequences(job: Job, settled: Failed | Shared | Settled, workshop: Workshop) -> None:
    """Stop what is at work on a run that has failed fast, and send what is due now."""
    terminate(settled.stopped)
    send_ready(job, settled.ready, workshop)
    send_ending(job, settled.ending, workshop)


def send_deliveries(workshop: Workshop) -> None:
    """MLflow answers again: have what waits delivered, rather than at the end of the runs only."""
    for run in workshop.due_deliveries():
        queue = _queue_with_mlflow(workshop.job(run), workshop)
        app.signature(DELIVER, kwargs={"run": run}, queue=queue, immutable=True).apply_async()


def send_overdue(run: str, delivery: str, message: str, queue: str) -> None:
    """A worker killed the process of a delivery at its time limit: have what it ran judged."""
    kwargs = {"run": run, "delivery": delivery, "message": message}
    app.signature(OVERDUE, kwargs=kwargs, queue=queue, immutable=True).apply_async()


def send_unknown(run: str, node: str, stage: str, queue: str, *, round: int, share: bool) -> None:
    """A worker has no code for a stage: have its node failed, or the items of a map that are left."""
    kwargs = {"run": run, "node": node, "stage": stage, "round": round, "share": share}
    app.signature(UNKNOWN, kwargs=kwargs, queue=queue, immutable=True).apply_async()


def send_again(message: Message, queue: str) -> None:
    """Put a message back as it is, for another worker."""
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
    """End the canvas here: Celery passes nothing on for this message, and no chord counts it."""
    request.chain = None
    request.chord = None
    request.callbacks = None
    request.errbacks = None


def _queue_with_mlflow(job: Job, workshop: Workshop) -> str:
    """Where to send what concerns a run as a whole: where possible to a worker that has MLflow loaded."""
    served = served_queues(workshop.runs.client) & job.graph.queues
    return max(served or job.graph.queues, key=lambda name: (name in LOADED, name))


def _in_place_of(request: Context, signature: Signature) -> Signature:
    """Give a signature the place in a chord that the request has."""
    if request.chord:
        signature.set(chord=request.chord, group_id=request.group, group_index=request.group_index)
    return signature
