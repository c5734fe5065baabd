"""Write attempts and runs to MLflow: the interface that the runtime uses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator.archive.outbox import Outbox, outboxes
from orchestrator.authoring.graph import group_and_index
from orchestrator.run_id import RunId
from orchestrator.runs.errors import LeaseLost
from workers.tracking.active import active
from workers.tracking.attempt import AttemptTracker, HandOver
from workers.tracking.attempt_outbox import AttemptOutbox, attempt_of, deliver_entries, refusal, settle
from workers.tracking.circuit import Circuit
from workers.tracking.client import experiment_of, open_client
from workers.tracking.entries import Target
from workers.tracking.errors import ModelNotDelivered, clear_errors, clear_plain_errors, is_gone
from workers.tracking.library import settle_environment
from workers.tracking.models import Authorship, is_ready, models_of, order_of
from workers.tracking.pending import PendingModel
from workers.tracking.records import AttemptInfo, Fence, NoFence, Recall, Remember, RunInfo
from workers.tracking.runs import KeyedRuns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from orchestrator.artifacts import ArtifactStore

T = TypeVar("T")

log = logging.getLogger(__name__)


class MlflowTracking:
    """A process's access to MLflow. Cheap to create; MLflow is imported at the first write.

    Create it in each process, after the fork. `recall` and `remember` bind keys (`records.run_key`) to MLflow
    run ids for all processes that share a run; without them, keys are bound within this object. `store` keeps
    entries that are logged while MLflow is unavailable; without it, logging then raises an error. With
    `hand_over`, short attempts leave what they log to another process.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_root: str | None = None,
        *,
        recall: Recall | None = None,
        remember: Remember | None = None,
        store: ArtifactStore | None = None,
        hand_over: HandOver | None = None,
    ) -> None:
        settle_environment()
        self.tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        self._store = store
        bound: dict[str, str] = {}
        self._recall = recall or bound.get
        self._remember = remember or bound.setdefault
        self._hand_over = hand_over
        self._circuit = Circuit()
        self._owed: set[str] = set()
        self._due: set[str] = set()
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._map = (("", ""), "")
        self._seen: list[Run] | None = None  #: all MLflow runs of the run whose outboxes are delivered

    @contextmanager
    def attempt(self, info: AttemptInfo, fence: Fence | None = None) -> Iterator[AttemptTracker]:
        """Yield the tracker for one attempt; plain `mlflow` calls in the block go to the same MLflow run.

        Raises LeaseLost at the end if the node was taken over: the attempt's output must not be kept.

        A training node's own run is created at once, a map item's at its first entry; both end with the
        block. Other nodes log to the pipeline's run, which is created at the first entry. While MLflow is
        unavailable, entries of the tracker are kept in an outbox; plain `mlflow` calls raise
        TrackingUnavailable.
        """
        fence = fence or NoFence()
        tracker = AttemptTracker(
            self.tracking_uri,
            info,
            find_run=lambda: self._anew_if_gone(info.pipeline, lambda: self._find(info, fence)),
            target=lambda run: self._target(info, run, fence),
            find_model=self.model_uri,
            outbox=AttemptOutbox(self._store, info) if self._store is not None else None,
            hand_over=self._hand_over,
            fence=fence,
            circuit=self._circuit,
        )
        if info.nested and not info.map:
            tracker.begin()
        try:
            with clear_plain_errors(), active(lambda: tracker.run, self.tracking_uri):
                yield tracker
        except BaseException as error:
            try:
                tracker.end("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
            except LeaseLost as lost:  # the original error takes precedence
                log.warning("%s", lost, extra={"action": "lease lost"})
            raise
        else:
            tracker.end("FINISHED")
        finally:
            self._note_owed(tracker, info.run_id)

    def due(self) -> set[str]:
        """Return the runs with outboxes of this process once MLflow answers again; each is returned once."""
        due, self._due = self._due, set()
        return due

    def _note_owed(self, tracker: AttemptTracker, run_id: str) -> None:
        if tracker.is_away:
            self._owed.add(run_id)
        elif tracker.has_reached:
            self._due |= self._owed
            self._owed.clear()

    def deliver(self, run_id: str, node: str = "", *, first: bool = False) -> None:
        """Deliver the outboxes of a run, or of one of its nodes; raises TrackingUnavailable.

        Idempotent, also for concurrent callers: each entry takes effect once. With `first`, nobody has tried
        before, so MLflow is not searched for what an earlier try may have made. Those of a whole run are
        delivered from the last item to the first, and meet the process that delivers them as they come.
        """
        if self._store is None:
            return
        waiting = [outbox for outbox in outboxes(self._store, RunId(run_id), node) if outbox.entries]
        waiting.sort(key=lambda outbox: group_and_index(outbox.node)[1] or 0, reverse=True)
        try:
            for outbox in waiting:
                if outbox is waiting[0] or outbox.is_there(self._store):
                    settle(outbox, self._deliver(outbox, first=first), self._store)
        finally:
            self._seen = None

    def model_uri(self, uri: str) -> str:
        """Return MLflow's URI of a logged model; a model in an outbox is delivered first."""
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
        """Write the end of a run to MLflow; return the id of its MLflow run. Idempotent."""
        with clear_errors(self.tracking_uri):
            return self._anew_if_gone(info.pipeline, lambda: self._runs(info.pipeline).conclude(info))

    def parent(self, run_id: str, pipeline: str, parameters: Mapping[str, object], started: datetime) -> Run:
        """Find or create the MLflow run of a whole run."""
        return self._runs(pipeline).parent(run_id, pipeline, parameters, started)

    def _deliver(self, outbox: Outbox, *, first: bool) -> list[str]:
        try:
            info = attempt_of(outbox)
        except ValueError as error:
            return [refusal(outbox, "all that was kept", error)]
        if not first:
            info = replace(info, redelivered=True)
        with clear_errors(self.tracking_uri):
            if not first and self._seen is None:
                self._seen = self._runs(info.pipeline).all_of(info.run_id)
            run = self._anew_if_gone(info.pipeline, lambda: self._find(info, NoFence(), late=True))
        is_new = not run.data.params and order_of(run.data.tags) == info.order
        target = replace(self._target(info, run, NoFence()), late=not is_new, known_params=not is_new)
        return deliver_entries(outbox, target, self.tracking_uri)

    def _target(self, info: AttemptInfo, run: Run, fence: Fence) -> Target:
        return Target(
            client=self._open(),
            run_id=run.info.run_id,
            artifacts=run.info.artifact_uri,
            author=Authorship(info.run_id, info.node, info.order),
            remember=self._remember,
            store=self._store,
            check=lambda: fence.glance(at_once=True),
            known_params=not info.fresh,
        )

    def _find(self, info: AttemptInfo, fence: Fence, *, late: bool = False) -> Run:
        if not info.nested:
            return self._parent_of(info)
        above = self._run_of_map(info) if info.map else str(self._parent_of(info).info.run_id)
        check = partial(fence.glance, at_once=True)
        return self._runs(info.pipeline).nested(info, above, check, late=late)

    def _parent_of(self, info: AttemptInfo) -> Run:
        return self.parent(info.run_id, info.pipeline, info.parameters, info.started)

    def _run_of_map(self, info: AttemptInfo) -> str:
        """Return the MLflow id of a map's run; the latest map's is cached, as its items come together."""
        place = (info.run_id, info.map)
        if self._map[0] != place:
            parent = str(self._parent_of(info).info.run_id)
            map = (info.map, info.stage)
            run = self._runs(info.pipeline).of_map(info.run_id, info.pipeline, map, parent, info.began)
            self._map = (place, str(run.info.run_id))
        return self._map[1]

    def _runs(self, pipeline: str) -> KeyedRuns:
        experiment = self._experiment(pipeline)
        return KeyedRuns(self._open(), experiment, self._recall, self._remember, self._seen)

    def _anew_if_gone(self, pipeline: str, act: Callable[[], T]) -> T:
        """Call `act`, and once more if the cached experiment was deleted since it was looked up."""
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
            self._client = open_client(self.tracking_uri)
        return self._client
