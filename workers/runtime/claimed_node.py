"""A claimed node: call its function, store its output, and decide between retry and failure on an error."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from celery.exceptions import SoftTimeLimitExceeded

from orchestrator.archive.effects import Effects
from orchestrator.artifacts import encode
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.context import Attempt, attempting
from orchestrator.authoring.errors import OrchestratorError
from orchestrator.authoring.masking import keep_secret_arguments
from orchestrator.authoring.policies import RetryRule
from orchestrator.authoring.progress import Loops, Progress
from orchestrator.authoring.stage import stages
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.values import AttemptCounts, AttemptProgress, FencingNumber, Holder, Settled
from workers.runtime.descendants import children_end_here, copies_end_here
from workers.runtime.error_text import in_one_line, traceback_of
from workers.runtime.errors import DeadlyStage, MissingOutput, OtherCode, StageTimeout, UnknownStage
from workers.runtime.fence import Fence
from workers.runtime.identity import identity
from workers.runtime.inputs import load_inputs, small_inputs
from workers.runtime.outcome import Again, Failed, Stopped
from workers.runtime.progress_sender import sent_progress
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext
from workers.tracking import AttemptInfo, AttemptTracker

#: Number of lost workers after which the node itself is considered the cause and fails.
DEATHS = 3
#: Retries while a service is unavailable, regardless of the stage's own policy: about four minutes in total.
PATIENCE = RetryRule(on=(), times=8, backoff=2.0, cap=60.0)
#: Seconds of work from which an output is flushed to disk (fsync) before it is committed.
DEAR = 1.0
#: Errors of map items to which `tolerate` does not apply: a worker without their code would skip all items.
NOT_TOLERATED = (OtherCode, UnknownStage)
#: Outcome of an attempt whose node another worker has claimed.
SUPERSEDED = Stopped("its lease was lost")


@dataclass(frozen=True)
class Delivery:
    """One delivery of a message."""

    run: RunId
    node: str
    message: str  #: the message's id
    tag: str = ""  #: delivery tag
    redelivered: bool = False
    round: int = 0  #: round of the run; above 0 if the run was resumed

    def holder(self, token: str) -> Holder:
        """Return the lease holder that this delivery claims its node as."""
        me = identity()
        delivery = me.delivery(self.message, self.tag)
        return Holder(token=token, delivery=delivery, worker=me.name, round=self.round)


@dataclass(frozen=True)
class ClaimedNode:
    """A node, or one item of a map, on which this worker holds the lease."""

    context: RunContext
    ref: NodeRef
    token: str
    counts: AttemptCounts
    redelivered: bool
    resources: WorkerResources
    stored: Mapping[str, Tree] | None = None  #: outputs of earlier attempts; None if not looked up

    @property
    def number(self) -> int:
        """The attempt's number, from 1."""
        return self.counts.number

    @property
    def fencing(self) -> FencingNumber:
        """Return the fencing number, which orders this attempt after all earlier ones."""
        return FencingNumber(self.context.round.number, self.number, self.counts.claimed)

    def stored_before(self) -> Tree | None:
        """Return the output of an earlier attempt that was never recorded, or that Redis has lost."""
        if not may_be_stored(self.counts, redelivered=self.redelivered):
            return None
        if self.stored is not None:
            return self.stored.get(self.context.stored_as(self.ref))
        try:
            return self.resources.stored_output(self.context, self.ref)
        except MissingOutput:
            return None

    def check_deaths(self) -> None:
        """Raise DeadlyStage if DEATHS workers were lost while they ran this node."""
        if self.counts.lost >= DEATHS:
            last = RunReader(self.resources.runs.client).last_loss(self.context.run, self.ref.name)
            raise DeadlyStage(
                f"{self.ref.name} was running when {self.counts.lost} workers died; the last: {last}"
            )

    def output(self) -> Tree:
        """Call the stage's function and store its return value."""
        self.check_deaths()
        with children_end_here(), _folder_kept():
            return self._called()

    def _called(self) -> Tree:
        stage = stages[self.ref.node.stage]
        arguments = load_inputs(self.ref, self.context, self.resources, as_of=self.counts.claimed)
        keep_secret_arguments(arguments)
        fence = self._fence()
        with (
            self.resources.tracking.attempt(self._info(), fence) as tracker,
            sent_progress(self._set_progress) as loops,
            attempting(self._attempt(tracker, fence, loops)),
            copies_end_here(),
        ):
            value = stage.function(**arguments)
        return encode(value, hints_of(stage.function)["return"], self.resources.store)

    def skip(self) -> Settled:
        """Record that the node's conditions do not hold."""
        context, ref = self.context, self.ref
        return self.resources.runs.skip(
            context.run,
            ref.name,
            self.token,
            group=ref.group,
            needed_by=context.needed_by(ref) if ref.group else (),
            descendants=context.descendants(ref),
        )

    def failed(self, error: BaseException) -> Again | Failed | Stopped:
        """Record an error: retry if the policy allows another attempt, otherwise fail the node."""
        if isinstance(error, SoftTimeLimitExceeded):
            limit = self.ref.node.policy.time_limit
            error = StageTimeout(f"{self.ref.name} took longer than its time limit of {limit:g} s")
        told = in_one_line(error)
        trace = traceback_of(error)
        wait = self._wait_after(error)
        runs, run, name = self.resources.runs, self.context.run, self.ref.name
        if wait is not None:
            settled = runs.retry(run, name, self.token, error=told, traceback=trace, wait=wait)
            return Again(told, wait) if settled.accepted else SUPERSEDED
        settled = runs.fail(
            run,
            name,
            self.token,
            error=told,
            traceback=trace,
            group=self.ref.group,
            tolerated=0.0
            if isinstance(error, NOT_TOLERATED) or self.ref.is_map
            else self.ref.node.policy.tolerate,
            needed_by=self.context.needed_by(self.ref),
            descendants=self.context.descendants(self.ref),
        )
        if not settled.accepted:
            return SUPERSEDED
        return Failed(told, settled.ready, settled.ending, settled.stopped, error.__traceback__)

    def _wait_after(self, error: BaseException) -> float | None:
        """Return the seconds until the next attempt, or None if this error is not retried."""
        policy, tries = self.ref.node.policy, self.counts.tries
        jitter = random.random()  # noqa: S311 - jitter needs no secure randomness
        if policy.retry and policy.grants_another(error, tries):
            return policy.retry.wait(tries, jitter)
        if is_service_away(error) and tries <= PATIENCE.times:
            return PATIENCE.wait(tries, jitter)
        return None

    def _fence(self) -> Fence:
        runs, run, name = self.resources.runs, self.context.run, self.ref.name
        lease = self.resources.settings.lease_seconds
        return Fence(name, lambda: runs.holds(run, name, self.token), lease)

    def _set_progress(self, latest: Progress | None) -> None:
        told = None if latest is None else AttemptProgress(self.number, latest)
        self.resources.runs.set_progress(self.context.run, self.ref.name, self.token, told)

    def _attempt(self, tracker: AttemptTracker, fence: Fence, loops: Loops) -> Attempt:
        run, name = self.context.run, self.ref.name
        effects = Effects(self.resources.store, run, name, fence.check)
        return Attempt(run, name, self.number, tracker, fence.check, once=effects.once, loops=loops)

    def _info(self) -> AttemptInfo:
        specification = self.context.specification
        return AttemptInfo(
            run_id=self.context.run,
            pipeline=self.context.graph.pipeline,
            parameters=specification.parameters,
            started=specification.submitted,
            node=self.ref.name,
            stage=self.ref.node.stage,
            queue=self.ref.node.policy.queue,
            attempt=self.number,
            round=self.context.round.number,
            redelivered=self.redelivered,
            map=self.ref.group or "",
            inputs=small_inputs(self.ref),
        )


def may_be_stored(counts: AttemptCounts, *, redelivered: bool) -> bool:
    """Whether an attempt before this one may have stored an output."""
    return counts.number > 1 or redelivered or counts.forgetful


def is_expensive(seconds: float) -> bool:
    """Whether an attempt took so long that its output must survive a power cut."""
    return seconds >= DEAR


def is_service_away(error: BaseException) -> bool:
    """Whether the error is caused by an unavailable service rather than by the stage."""
    return isinstance(error, OrchestratorError) and error.transient and not isinstance(error, StageTimeout)


@contextmanager
def _folder_kept() -> Iterator[None]:
    """Restore the working directory after the stage, so that the next stage's relative paths resolve."""
    before = _folder()
    try:
        yield
    finally:
        if before is not None and _folder() != before:
            os.chdir(before)


def _folder() -> str | None:
    with suppress(FileNotFoundError):  # it has been removed
        return os.getcwd()  # noqa: PTH109 - a Path takes as long as an item of a map
    return None
