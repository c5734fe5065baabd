"""A claimed node on its way to a commit: its function is called, its output stored, its error judged."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded

from orchestrator.archive.effects import Effects
from orchestrator.artifacts import encode
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.context import Attempt, attempting
from orchestrator.authoring.errors import OrchestratorError
from orchestrator.authoring.policies import RetryRule
from orchestrator.authoring.stage import stages
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.values import AttemptCounts, FencingNumber, Holder
from workers.runtime.descendants import children_end_here, copies_end_here
from workers.runtime.error_text import in_one_line, traceback_of
from workers.runtime.errors import DeadlyStage, MissingOutput, OtherCode, StageTimeout, UnknownStage
from workers.runtime.fence import Fence
from workers.runtime.identity import identity
from workers.runtime.inputs import load_inputs, small_inputs
from workers.runtime.outcome import Again, Failed, Stopped
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext
from workers.tracking import AttemptInfo, AttemptTracker

#: Workers that may die of a node before it is taken for the cause.
DEATHS = 3
#: How long a stage waits for a service that is away, whatever its own policy says: about four minutes.
PATIENCE = RetryRule(on=(), times=8, backoff=2.0, cap=60.0)
#: Seconds of work after which the proof of it is worth the time that flushing it to the disk takes.
DEAR = 1.0
#: Failures of items that say nothing of the items: a worker without their code would leave out all of them.
NOT_TOLERATED = (OtherCode, UnknownStage)
#: What an attempt ends with when another worker has taken its node over.
SUPERSEDED = Stopped("its lease was lost")


@dataclass(frozen=True)
class Delivery:
    """One arrival of a message."""

    run: RunId
    node: str
    message: str  #: the message's id
    tag: str = ""  #: of this delivery of it
    redelivered: bool = False
    round: int = 0  #: of the run, if it was sent again

    def holder(self, token: str) -> Holder:
        """Who asks for a node with this delivery."""
        me = identity()
        delivery = me.delivery(self.message, self.tag)
        return Holder(token=token, delivery=delivery, worker=me.name, round=self.round)


@dataclass(frozen=True)
class ClaimedNode:
    """A node, or one item of a map, that this worker may run."""

    context: RunContext
    ref: NodeRef
    token: str
    counts: AttemptCounts
    redelivered: bool
    resources: WorkerResources
    stored: Mapping[str, Tree] | None = None  #: what earlier attempts stored, where that has been looked up

    @property
    def number(self) -> int:
        """The attempt's number, from 1."""
        return self.counts.number

    @property
    def fencing(self) -> FencingNumber:
        """What makes this attempt count more than those before it."""
        return FencingNumber(self.context.round.number, self.number, self.counts.claimed)

    def stored_before(self) -> Tree | None:
        """What an earlier attempt stored, if that was never recorded, or if Redis has forgotten it."""
        if not may_be_stored(self.counts, redelivered=self.redelivered):
            return None
        if self.stored is not None:
            return self.stored.get(self.context.stored_as(self.ref))
        try:
            return self.resources.stored_output(self.context, self.ref)
        except MissingOutput:
            return None

    def check_deaths(self) -> None:
        """Raise DeadlyStage if too many workers have died of this node."""
        if self.counts.lost >= DEATHS:
            last = RunReader(self.resources.runs.client).last_loss(self.context.run, self.ref.name)
            raise DeadlyStage(
                f"{self.ref.name} was running when {self.counts.lost} workers died; the last: {last}"
            )

    def output(self) -> Tree:
        """Call the stage's function, and store what it returns."""
        self.check_deaths()
        with children_end_here(), _folder_kept():
            return self._called()

    def _called(self) -> Tree:
        stage = stages[self.ref.node.stage]
        arguments = load_inputs(self.ref, self.context, self.resources)
        fence = self._fence()
        with (
            self.resources.tracking.attempt(self._info(), fence) as tracker,
            attempting(self._attempt(tracker, fence)),
            copies_end_here(),
        ):
            value = stage.function(**arguments)
        return encode(value, hints_of(stage.function)["return"], self.resources.store)

    def failed(self, error: BaseException) -> Again | Failed | Stopped:
        """Record an error: another attempt if the policy grants one, else the end of the node."""
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
            tolerated=0.0 if isinstance(error, NOT_TOLERATED) else self.ref.node.policy.tolerate,
            needed_by=self.context.needed_by(self.ref),
            descendants=self.context.descendants(self.ref),
        )
        if not settled.accepted:
            return SUPERSEDED
        return Failed(told, settled.ready, settled.ending, settled.stopped, error.__traceback__)

    def _wait_after(self, error: BaseException) -> float | None:
        """Seconds until the next attempt, if the policy grants one after this error."""
        policy, tries = self.ref.node.policy, self.counts.tries
        jitter = random.random()  # noqa: S311 - nobody needs to be kept from guessing it
        if policy.retry and policy.grants_another(error, tries):
            return policy.retry.wait(tries, jitter)
        if is_service_away(error) and tries <= PATIENCE.times:
            return PATIENCE.wait(tries, jitter)
        return None

    def _fence(self) -> Fence:
        runs, run, name = self.resources.runs, self.context.run, self.ref.name
        lease = self.resources.settings.lease_seconds
        return Fence(name, lambda: runs.holds(run, name, self.token), lease)

    def _attempt(self, tracker: AttemptTracker, fence: Fence) -> Attempt:
        run, name = self.context.run, self.ref.name
        effects = Effects(self.resources.store, run, name, fence.check)
        return Attempt(run, name, self.number, tracker, check=fence.check, once=effects.once)

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
            inputs=small_inputs(self.ref),
        )


def may_be_stored(counts: AttemptCounts, *, redelivered: bool) -> bool:
    """Whether an attempt before this one may have stored an output."""
    return counts.number > 1 or redelivered or counts.forgetful


def is_expensive(seconds: float) -> bool:
    """Whether so much work is not to be done again because a machine lost its power just then."""
    return seconds >= DEAR


def is_service_away(error: BaseException) -> bool:
    """Whether the error is none of the stage's: a service that it needs does not answer."""
    return isinstance(error, OrchestratorError) and error.transient and not isinstance(error, StageTimeout)


@contextmanager
def _folder_kept() -> Iterator[None]:
    """Come back to where relative paths start, for the next stage, wherever this one goes."""
    try:
        before = Path.cwd()
    except FileNotFoundError:  # it has been removed
        yield
        return
    with chdir(before):
        yield
