"""Retry or fail a stage whose process was killed because it did not end at its time limit."""

from __future__ import annotations

import json
from typing import assert_never

from celery.canvas import Signature

from orchestrator.authoring.graph import NodeName
from orchestrator.messaging.app import app
from orchestrator.messaging.tasks import batch_number
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from workers.runtime.claimed_node import ClaimedNode
from workers.runtime.dispatch import send_batch, send_consequences, send_item
from workers.runtime.errors import StageTimeout
from workers.runtime.outcome import Again, Failed, Stopped
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import RunContext


def settle_timed_out(run: RunId, delivery: str, message: str, resources: WorkerResources) -> None:
    """Retry or fail the nodes of a killed delivery by their policy; `message` is the delivered signature."""
    signature = Signature.from_dict(json.loads(message), app=app)
    context = resources.context(run, signature.kwargs.get("round", 0))
    batch = batch_number(signature.kwargs)
    for name in RunReader(resources.runs.client).held_by(run, delivery):
        _settle(context, NodeName(name), delivery, None if batch is not None else signature, resources)
    if batch is not None:  # its items are settled one by one; another batch runs the remaining ones
        send_batch(context, signature.kwargs["node"], 0)


def _settle(
    context: RunContext, name: NodeName, delivery: str, message: Signature | None, resources: WorkerResources
) -> None:
    ref = context.node_ref(name)
    counts = resources.runs.attempt_counts(context.run, name)
    limit = ref.node.policy.time_limit
    error = StageTimeout(
        f"{name} took longer than its time limit of {limit:g} s, did not end by itself, and was killed"
    )
    claimed = ClaimedNode(context, ref, delivery, counts, redelivered=False, resources=resources)
    outcome = claimed.failed(error)
    match outcome:
        case Again(_, wait):
            if message is not None:
                message.apply_async(countdown=wait)
            elif ref.group is not None:
                send_item(context, ref.group, ref.index or 0, wait)
        case Failed():
            send_consequences(context, name, outcome, resources)
        case Stopped():
            pass
        case _:
            assert_never(outcome)
