"""One attempt of a node, from the claim to the commit."""

from __future__ import annotations

import json
import random
import traceback
from dataclasses import dataclass
from uuid import uuid4

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError

from orchestrator.archive.manifest import Manifest
from orchestrator.artifacts import MISSING, encode, inline
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.context import Attempt, attempting
from orchestrator.authoring.errors import EmptyMap, OrchestratorError
from orchestrator.authoring.registry import stages
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import Claim, Holder, Settled, Verdict
from workers.runtime.capture import AttemptLog, captured
from workers.runtime.errors import StageTimeout
from workers.runtime.identity import identity
from workers.runtime.inputs import conditions_hold, count_items, load_inputs, small_inputs
from workers.runtime.job import Job, Task
from workers.runtime.outcome import Again, Committed, Early, Expanded, Failed, Outcome, Stopped
from workers.runtime.workshop import Workshop
from workers.tracking import AttemptInfo

#: Outputs of up to this many bytes of JSON are shown as a node's `value`.
SHOWN = 1024


@dataclass(frozen=True)
class Delivery:
    """One arrival of a message."""

    run: RunId
    node: str
    redelivered: bool = False


def execute(delivery: Delivery, workshop: Workshop) -> Outcome:
    """Run one attempt of a node: claim, load, call, commit, record."""
    job = workshop.job(delivery.run)
    task = job.task(delivery.node)
    me = identity()
    holder = Holder(token=uuid4().hex, instance=me.instance, worker=me.name)
    claim = workshop.runs.claim(job.run, task.name, holder, waits=job.waits(task), wakes=job.wakes(task))
    if claim.verdict is not Verdict.CLAIMED:
        return _declined(claim)
    attempt = _Attempt(job, task, holder.token, claim.number, delivery.redelivered, workshop)
    log = AttemptLog(workshop, job.run, task.name, claim.number)
    try:
        with captured(log):
            return attempt.run()
    except Exception as error:  # noqa: BLE001 - whatever a stage raises is recorded, and decided by its policy
        log.add("error", "".join(traceback.format_exception(error)).rstrip())
        return attempt.failed(error)
    finally:
        log.close()


def _declined(claim: Claim) -> Outcome:
    match claim.verdict:
        case Verdict.DONE:
            return Committed(claim.ready)
        case Verdict.EXPANDED:
            return Expanded(claim.number)
        case Verdict.EARLY:
            return Early()
    return Stopped(claim.verdict.value)


@dataclass(frozen=True)
class _Attempt:
    """A claimed node on its way to a commit."""

    job: Job
    task: Task
    token: str
    number: int
    redelivered: bool
    workshop: Workshop

    def run(self) -> Outcome:
        if not conditions_hold(self.task, self.job, self.workshop):
            return self._skip()
        if self.task.node.mapped and self.task.index is None:
            return self._expand()
        return self._commit(self._call())

    def _call(self) -> object:
        stage = stages[self.task.node.stage]
        arguments = load_inputs(self.task, self.job, self.workshop)
        with self.workshop.tracking.attempt(self._info()) as tracker:
            attempt = Attempt(self.job.run, self.task.name, self.number, tracker)
            with attempting(attempt):
                return stage.function(**arguments)

    def _commit(self, value: object) -> Outcome:
        stage = stages[self.task.node.stage]
        tree = encode(value, hints_of(stage.function)["return"], self.workshop.store)
        manifest = Manifest(node=self.task.name, attempt=self.number, output=tree)
        manifest.write(self.workshop.store, self.job.run)
        plain = inline(tree)
        text = "" if plain is MISSING else json.dumps(plain)
        settled = self.workshop.runs.commit(
            self.job.run,
            self.task.name,
            self.token,
            value=text if len(text) <= SHOWN else "",
            group=self.task.group,
            wakes=self.job.wakes(self.task),
        )
        if not settled.accepted:
            return Stopped("its lease was lost")
        return Committed(settled.ready, settled.ended_run)

    def _skip(self) -> Outcome:
        settled = self.workshop.runs.skip(
            self.job.run, self.task.name, self.token, needed_by=self.job.needed_by(self.task)
        )
        return Stopped("skipped", settled.ended_run)

    def _expand(self) -> Outcome:
        items = count_items(self.task, self.job, self.workshop)
        if items == 0:
            raise EmptyMap(f"{self.task.name}: a map needs at least one item, and it was given an empty list")
        self.workshop.runs.expand(self.job.run, self.task.name, self.token, items=items)
        return Expanded(items)

    def failed(self, error: Exception) -> Outcome:
        """Record an error: another attempt if the policy grants one, else the end of the node."""
        if isinstance(error, SoftTimeLimitExceeded):
            limit = self.task.node.policy.time_limit
            error = StageTimeout(f"{self.task.name} took longer than its time limit of {limit:g} s")
        told = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        policy = self.task.node.policy.retry
        tries = self.tries
        if policy and tries <= policy.times and policy.covers(error) and not _is_bad_input(error):
            wait = policy.wait(tries, random.random())  # noqa: S311 - jitter
            settled = self.workshop.runs.retry(
                self.job.run, self.task.name, self.token, error=told, traceback=trace, wait=wait
            )
            return Again(error, wait) if settled.accepted else _superseded(settled)
        settled = self.workshop.runs.fail(
            self.job.run,
            self.task.name,
            self.token,
            error=told,
            traceback=trace,
            group=self.task.group,
            needed_by=self.job.needed_by(self.task),
        )
        return Failed(error, settled.ended_run) if settled.accepted else _superseded(settled)

    @property
    def tries(self) -> int:
        """How many attempts there have been, this one included."""
        return self.number

    def _info(self) -> AttemptInfo:
        specification = self.job.specification
        return AttemptInfo(
            run_id=self.job.run,
            pipeline=self.job.graph.pipeline,
            parameters=specification.parameters,
            started=specification.submitted,
            node=self.task.name,
            stage=self.task.node.stage,
            queue=self.task.node.policy.queue,
            attempt=self.number,
            redelivered=self.redelivered,
            inputs=small_inputs(self.task),
        )


def _superseded(settled: Settled) -> Outcome:
    del settled
    return Stopped("its lease was lost")


def _is_bad_input(error: Exception) -> bool:
    """Errors that the same input brings about again."""
    return isinstance(error, OrchestratorError | ValidationError) and not isinstance(error, StageTimeout)
