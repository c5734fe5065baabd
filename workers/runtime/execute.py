"""Execute one delivery of a node's message: claim, load, call, commit, record."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeAlias
from uuid import uuid4

from billiard.common import terminate_handler_fired

from orchestrator.archive.manifest import Manifest, write_items
from orchestrator.artifacts.tree import Tree, shown_value
from orchestrator.authoring.errors import EmptyMap
from orchestrator.runs.errors import LeaseLost
from orchestrator.runs.values import Claim, ClaimStatus, Continuation, Settled
from workers.runtime.cache import find_result, keep_result
from workers.runtime.capture import AttemptLog, captured
from workers.runtime.claimed_node import SUPERSEDED, ClaimedNode, Delivery, is_expensive
from workers.runtime.code_check import check_code
from workers.runtime.error_text import traceback_of
from workers.runtime.inputs import conditions_hold, count_items
from workers.runtime.outcome import Committed, Expanded, Outcome, Stopped
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef

#: What the delivery of a node would continue with once the node is committed.
Then: TypeAlias = Callable[[NodeRef], Continuation | None]


def execute(delivery: Delivery, resources: WorkerResources, then: Then = lambda _: None) -> Outcome:
    """Run one attempt of a node: claim, load, call, commit, record."""
    context = resources.context(delivery.run, delivery.round)
    ref = context.node_ref(delivery.node)
    holder = delivery.holder(uuid4().hex)
    needed_by = context.needed_by(ref)
    behind = context.descendants(ref) if delivery.redelivered else ()
    claim = resources.runs.claim(
        context.run,
        ref.name,
        holder,
        needed_by=needed_by,
        behind=[each for each in behind if each not in needed_by],
    )
    if claim.status is not ClaimStatus.CLAIMED:
        return _declined(claim)
    claimed = ClaimedNode(context, ref, holder.token, claim.counts, delivery.redelivered, resources)
    return run_claimed(claimed, then)


def run_claimed(claimed: ClaimedNode, then: Then) -> Outcome:
    """Run one attempt of a node that is claimed already: load, call, commit, record."""
    log = AttemptLog(claimed.resources, claimed.context.run, claimed.ref.name, claimed.counts.number)
    try:
        with captured(log):
            return _run(claimed, then, since=monotonic())
    except LeaseLost:
        return SUPERSEDED
    except BaseException as error:  # record any error of the stage; its retry policy decides what follows
        if terminate_handler_fired():
            raise  # not an error of the stage: this process was asked to terminate
        log.add("error", traceback_of(error).rstrip())
        return claimed.failed(error)
    finally:
        log.close()


def _declined(claim: Claim) -> Outcome:
    match claim.status:
        case ClaimStatus.DONE:
            return Committed(claim.ready)
        case ClaimStatus.EXPANDED:
            return Expanded(claim.counts.number)
    return Stopped(claim.status.value)


def _run(claimed: ClaimedNode, then: Then, since: float) -> Outcome:
    if not conditions_hold(claimed.ref, claimed.context, claimed.resources, as_of=claimed.counts.claimed):
        return _skip(claimed)
    if claimed.ref.is_map:
        claimed.check_deaths()
        return _expand(claimed)
    check_code(claimed.context, claimed.ref)
    earlier = find_result(claimed)
    if earlier.output is not None:
        return _commit(claimed, earlier.output, earlier.why, then, reused=earlier.reused)
    output = claimed.output()
    if monotonic() - since > claimed.resources.settings.lease_seconds / 2 and not _still_held(claimed):
        return SUPERSEDED
    keep_result(claimed, output, earlier)
    return _commit(claimed, output, earlier.why, then, flush=is_expensive(monotonic() - since))


def _still_held(claimed: ClaimedNode) -> bool:
    """Whether the attempt still holds its lease after its function ran; short functions are not checked."""
    return claimed.resources.runs.holds(claimed.context.run, claimed.ref.name, claimed.token)


def _commit(
    claimed: ClaimedNode, output: Tree, why: str, then: Then, *, reused: bool = False, flush: bool = False
) -> Outcome:
    context, ref = claimed.context, claimed.ref
    if flush:
        claimed.resources.flush_needs(context, ref)
    output = _store(claimed, output, flush=flush)
    settled = claimed.resources.runs.commit(
        context.run,
        ref.name,
        claimed.token,
        value=shown_value(output),
        reused=reused,
        why=why,
        group=ref.group,
        needed_by=context.needed_by(ref),
        then=then(ref),
    )
    if not settled.accepted:
        return SUPERSEDED
    claimed.resources.remember_output(context, ref, output)
    return Committed(settled.ready, settled.ending, settled.claimed)


def _store(claimed: ClaimedNode, output: Tree, *, flush: bool) -> Tree:
    """Write the output with this attempt's manifest; return the output of the manifest that counts."""
    context, ref, store = claimed.context, claimed.ref, claimed.resources.store
    if ref.index is not None:
        of_item = {ref.index: output}
        write_items(
            store, context.run, context.folder_of(ref), claimed.fencing, claimed.token, of_item, flush=flush
        )
        return output
    manifest = Manifest(node=ref.name, round=context.round.number, attempt=claimed.number, output=output)
    if manifest.write(store, context.run, context.stored_as(ref), flush=flush):
        return output
    return claimed.resources.output(context, ref)  # the first writer wins


def _skip(claimed: ClaimedNode) -> Outcome:
    settled = claimed.skip()
    return Stopped("skipped", settled.ending, settled.ready)


def _expand(claimed: ClaimedNode) -> Outcome:
    items, settled = expand(claimed)
    return Expanded(items, settled.ready, settled.ending) if settled.accepted else SUPERSEDED


def expand(claimed: ClaimedNode) -> tuple[int, Settled]:
    """Make a map, or an item that is a map itself, its items; return their number."""
    context, ref = claimed.context, claimed.ref
    items = count_items(ref, context, claimed.resources, as_of=claimed.counts.claimed)
    least = ref.node.least_at(ref.depth)
    if items < least:
        raise EmptyMap.of(ref.node.goes_through_at(ref.depth), items, least)
    return items, claimed.resources.runs.expand(
        context.run,
        ref.name,
        claimed.token,
        items=items,
        join=context.plan.chord_of(ref.name) if ref.group is None else None,
        follows=context.follows(ref),
        needed_by=context.needed_by(ref),
    )
