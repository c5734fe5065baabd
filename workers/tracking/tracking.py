"""How the executor writes attempts and runs to MLflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator.archive.outbox import Outbox, outboxes
from orchestrator.run_id import RunId
from orchestrator.runs.errors import LeaseLost
from workers.tracking.active import active
from workers.tracking.attempt import AttemptTracker
from workers.tracking.circuit import Circuit
from workers.tracking.entries import Target
from workers.tracking.errors import ModelNotDelivered, clear_errors, clear_plain_errors, is_gone
from workers.tracking.library import settle_environment
from workers.tracking.models import Authorship, is_ready, models_of
from workers.tracking.outgoing import Outgoing, attempt_of, deliver_entries, refusal, settle
from workers.tracking.pending import PendingModel
from workers.tracking.records import AttemptInfo, Fence, NoFence, Recall, Remember, RunInfo
from workers.tracking.runs import KeyedRuns
from workers.tracking.store import experiment_of, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from orchestrator.artifacts import ArtifactStore

T = TypeVar("T")

log = logging.getLogger(__name__)


class MlflowTracking:
    """A process's way to MLflow. Cheap to make; MLflow is imported when something is first written.

    To be made anew in each process, after forking. `recall` and `remember` bind keys (`records.run_key`) to
    MLflow run ids for all processes that share a run; without them they are bound within this object.
    `store` keeps what is logged while MLflow is away; without it that is an error.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_root: str | None = None,
        *,
        recall: Recall | None = None,
        remember: Remember | None = None,
        store: ArtifactStore | None = None,
    ) -> None:
        settle_environment()
        self.tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        self._store = store
        bound: dict[str, str] = {}
        self._recall = recall or bound.get
        self._remember = remember or bound.setdefault
        self._circuit = Circuit()
        self._owed: set[str] = set()
        self._due: set[str] = set()
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}

    @contextmanager
    def attempt(self, info: AttemptInfo, fence: Fence | None = None) -> Iterator[AttemptTracker]:
        """The tracker for one attempt, during which plain `mlflow` calls land in the same run.

        Raises LeaseLost at the end of one whose node was taken over: what it has made is not to be kept.

        A training node's own run is made at once and ends with the block; another node logs to the pipeline's
        run, which is made when it first logs something. While MLflow is away, what goes through the tracker
        is kept in an outbox; plain `mlflow` calls raise TrackingUnavailable.
        """
        fence = fence or NoFence()
        tracker = AttemptTracker(
            self.tracking_uri,
            info,
            find_run=lambda: self._anew_if_gone(info.pipeline, lambda: self._find(info, fence)),
            target=lambda run: self._target(info, run, fence),
            find_model=self.model_uri,
            outgoing=Outgoing(self._store, info) if self._store is not None else None,
            fence=fence,
            circuit=self._circuit,
        )
        if info.nested:
            tracker.begin()
        try:
            with clear_plain_errors(), active(lambda: tracker.run, self.tracking_uri):
                yield tracker
        except BaseException as error:
            try:
                tracker.end("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
            except LeaseLost as lost:  # the error counts
                log.warning("%s", lost, extra={"action": "lease lost"})
            raise
        else:
            tracker.end("FINISHED")
        finally:
            self._note_owed(tracker, info.run_id)

    def due(self) -> set[str]:
        """Runs of which this process has kept something, once MLflow has answered again; each told once."""
        due, self._due = self._due, set()
        return due

    def _note_owed(self, tracker: AttemptTracker, run_id: str) -> None:
        if tracker.is_away:
            self._owed.add(run_id)
        elif tracker.has_reached:
            self._due |= self._owed
            self._owed.clear()

    def deliver(self, run_id: str, node: str = "") -> None:
        """Deliver what waits of a run, or of one of its nodes; raises TrackingUnavailable.

        As often as you like, and by several at once: each entry has its effect once.
        """
        if self._store is None:
            return
        for outbox in outboxes(self._store, RunId(run_id), node):
            if outbox.entries:
                settle(outbox, self._deliver(outbox), self._store)

    def model_uri(self, uri: str) -> str:
        """MLflow's URI of a model that was logged; one that waits is delivered first."""
        pending = PendingModel.of(uri)
        if pending is None:
            return uri
        self.deliver(pending.run, pending.node)
        with clear_errors(self.tracking_uri):
            experiment = self._experiment(pending.pipeline)
            found = models_of(self._open(), experiment, pending.run, pending.node, pending.name)
        if not found or not is_ready(found[0]):
            raise ModelNotDelivered(
                f"MLflow was away when {pending.node} of run {pending.run} logged its model "
                f"'{pending.name}', and the model could not be delivered since",
                hint=f"`orchestrator show {pending.run}` says why.",
            )
        return f"models:/{found[0].model_id}"

    def conclude(self, info: RunInfo) -> str:
        """Write down how a run ended; the id of its MLflow run. As often as you like."""
        with clear_errors(self.tracking_uri):
            return self._anew_if_gone(info.pipeline, lambda: self._runs(info.pipeline).conclude(info))

    def parent(self, run_id: str, pipeline: str, parameters: Mapping[str, object], started: datetime) -> Run:
        """The MLflow run of a whole run, made if need be."""
        return self._runs(pipeline).parent(run_id, pipeline, parameters, started)

    def _deliver(self, outbox: Outbox) -> list[str]:
        try:
            info = attempt_of(outbox)
        except ValueError as error:
            return [refusal(outbox, "all that was kept", error)]
        with clear_errors(self.tracking_uri):
            run = self._anew_if_gone(info.pipeline, lambda: self._find(info, NoFence(), late=True))
        target = self._target(info, run, NoFence(), late=True)
        return deliver_entries(outbox, target, self.tracking_uri)

    def _target(self, info: AttemptInfo, run: Run, fence: Fence, *, late: bool = False) -> Target:
        return Target(
            client=self._open(),
            run_id=run.info.run_id,
            artifacts=run.info.artifact_uri,
            author=Authorship(info.run_id, info.node, info.order),
            remember=self._remember,
            store=self._store,
            check=lambda: fence.glance(at_once=True),
            known_params=not info.fresh,
            late=late,
        )

    def _find(self, info: AttemptInfo, fence: Fence, *, late: bool = False) -> Run:
        parent = self.parent(info.run_id, info.pipeline, info.parameters, info.started)
        if not info.nested:
            return parent
        check = partial(fence.glance, at_once=True)
        return self._runs(info.pipeline).nested(info, parent.info.run_id, check, late=late)

    def _runs(self, pipeline: str) -> KeyedRuns:
        return KeyedRuns(self._open(), self._experiment(pipeline), self._recall, self._remember)

    def _anew_if_gone(self, pipeline: str, act: Callable[[], T]) -> T:
        """Do something in a pipeline's experiment, which may have been deleted since it was looked up."""
        from mlflow.exceptions import MlflowException

        try:
            return act()
        except MlflowException as error:
            if self._experiments.pop(pipeline, None) is None or not is_gone(error):
                raise
        return act()

    def _experiment(self, pipeline: str) -> str:
        if pipeline not in self._experiments:
            self._experiments[pipeline] = experiment_of(
                self._open(), pipeline, self.tracking_uri, self._artifact_root
            )
        return self._experiments[pipeline]

    def _open(self) -> MlflowClient:
        if self._client is None:
            self._client = open_store(self.tracking_uri)
        return self._client
