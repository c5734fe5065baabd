"""One delivery of a node's message: claim, load, call, commit, record."""

from __future__ import annotations

from time import monotonic
from uuid import uuid4

from billiard.common import terminate_handler_fired

from orchestrator.archive.manifest import Manifest, write_items
from orchestrator.artifacts.tree import Tree, shown_value
from orchestrator.authoring.errors import EmptyMap
from orchestrator.runs.errors import LeaseLost
from orchestrator.runs.values import Claim, ClaimStatus
from workers.runtime.cache import find_earlier, keep_for_later
from workers.runtime.capture import AttemptLog, captured
from workers.runtime.claimed_node import SUPERSEDED, ClaimedNode, Delivery, is_expensive
from workers.runtime.code_check import check_code
from workers.runtime.error_text import traceback_of
from workers.runtime.inputs import conditions_hold, count_items
from workers.runtime.outcome import Committed, Expanded, Outcome, Stopped
from workers.runtime.resources import WorkerResources


def execute(delivery: Delivery, resources: WorkerResources) -> Outcome:
    """Run one attempt of a node: claim, load, call, commit, record."""
    job = resources.job(delivery.run, delivery.round)
    task = job.task(delivery.node)
    holder = delivery.holder(uuid4().hex)
    claim = resources.runs.claim(job.run, task.name, holder, needed_by=job.needed_by(task))
    if claim.verdict is not ClaimStatus.CLAIMED:
        return _declined(claim)
    claimed = ClaimedNode(job, task, holder.token, claim.standing, delivery.redelivered, resources)
    log = AttemptLog(resources, job.run, task.name, claim.standing.number)
    try:
        with captured(log):
            return _run(claimed, since=monotonic())
    except LeaseLost:
        return SUPERSEDED
    except BaseException as error:  # whatever a stage raises is recorded, and judged by its policy
        if terminate_handler_fired():
            raise  # not the stage's: this process is told to end
        log.add("error", traceback_of(error).rstrip())
        return claimed.failed(error)
    finally:
        log.close()


def _declined(claim: Claim) -> Outcome:
    match claim.verdict:
        case ClaimStatus.DONE:
            return Committed(claim.ready)
        case ClaimStatus.EXPANDED:
            return Expanded(claim.standing.number)
    return Stopped(claim.verdict.value)


def _run(claimed: ClaimedNode, since: float) -> Outcome:
    if not conditions_hold(claimed.task, claimed.job, claimed.resources):
        return _skip(claimed)
    if claimed.task.node.mapped and claimed.task.index is None:
        claimed.survive()
        return _expand(claimed)
    check_code(claimed.job, claimed.task)
    earlier = find_earlier(claimed)
    if earlier.output is not None:
        return _commit(claimed, earlier.output, earlier.why, reused=earlier.reused)
    output = claimed.output()
    if monotonic() - since > claimed.resources.settings.lease_seconds / 2 and not _still_held(claimed):
        return SUPERSEDED
    keep_for_later(claimed, output, earlier)
    return _commit(claimed, output, earlier.why, flush=is_expensive(monotonic() - since))


def _still_held(claimed: ClaimedNode) -> bool:
    """Whether nobody took the node over while its function ran: a short one needs no question."""
    return claimed.resources.runs.holds(claimed.job.run, claimed.task.name, claimed.token)


def _commit(
    claimed: ClaimedNode, output: Tree, why: str, *, reused: bool = False, flush: bool = False
) -> Outcome:
    job, task = claimed.job, claimed.task
    if flush:
        claimed.resources.flush_needs(job, task)
    output = _store(claimed, output, flush=flush)
    settled = claimed.resources.runs.commit(
        job.run,
        task.name,
        claimed.token,
        value=shown_value(output),
        reused=reused,
        why=why,
        group=task.group,
        needed_by=job.needed_by(task),
    )
    if not settled.accepted:
        return SUPERSEDED
    claimed.resources.remember_output(job, task, output)
    return Committed(settled.ready, settled.ending)


def _store(claimed: ClaimedNode, output: Tree, *, flush: bool) -> Tree:
    """Write an output as what this attempt committed; returns the one that counts."""
    job, task, store = claimed.job, claimed.task, claimed.resources.store
    if task.index is not None:
        of_item = {task.index: output}
        write_items(store, job.run, job.folder_of(task), claimed.fencing, claimed.token, of_item, flush=flush)
        return output
    manifest = Manifest(node=task.name, round=job.round.number, attempt=claimed.number, output=output)
    if manifest.write(store, job.run, job.stored_as(task), flush=flush):
        return output
    return claimed.resources.output(job, task)  # the first writer wins


def _skip(claimed: ClaimedNode) -> Outcome:
    job, task = claimed.job, claimed.task
    settled = claimed.resources.runs.skip(
        job.run, task.name, claimed.token, descendants=job.descendants(task)
    )
    return Stopped("skipped", settled.ending)


def _expand(claimed: ClaimedNode) -> Outcome:
    job, task = claimed.job, claimed.task
    items = count_items(task, job, claimed.resources)
    if items < task.node.at_least:
        raise EmptyMap.of(task.name, items, task.node.at_least)
    settled = claimed.resources.runs.expand(
        job.run,
        task.name,
        claimed.token,
        items=items,
        join=job.plan.chord_of(task.node.name),
        needed_by=job.needed_by(task),
    )
    return Expanded(items, settled.ready, settled.ending) if settled.accepted else SUPERSEDED
