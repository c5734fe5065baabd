"""How the executor writes attempts and runs to MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from workers.tracking.active import active
from workers.tracking.attempt import AttemptTracker
from workers.tracking.errors import clear_errors, only_warn
from workers.tracking.library import settle_environment
from workers.tracking.records import AttemptInfo, Recall, Remember, RunInfo
from workers.tracking.runs import KeyedRuns
from workers.tracking.store import experiment_of, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class MlflowTracking:
    """A process's way to MLflow. Cheap to make; MLflow is imported when something is first written.

    To be made anew in each process, after forking. `recall` and `remember` bind keys (`records.run_key`) to
    MLflow run ids for all processes that share a run; without them they are bound within this object.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_root: str | None = None,
        *,
        recall: Recall | None = None,
        remember: Remember | None = None,
    ) -> None:
        settle_environment()
        self.tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        bound: dict[str, str] = {}
        self._recall = recall or bound.get
        self._remember = remember or bound.setdefault
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}

    @contextmanager
    def attempt(self, info: AttemptInfo) -> Iterator[AttemptTracker]:
        """The tracker for one attempt, during which plain `mlflow` calls land in the same run.

        A training node's own run is made at once and ends with the block; another node logs to the pipeline's
        run, which is made when it first logs something. A failure to write how the attempt ended is only
        logged: hours of fitting are worth more, and `conclude` mends it.
        """
        tracker = AttemptTracker(
            self.tracking_uri,
            self._open,
            lambda: self._find(info),
            node=info.node,
            retried=not info.fresh,
        )
        if info.nested:
            tracker.run  # noqa: B018 - makes it
        status = "FAILED"
        try:
            with active(lambda: tracker.run, self.tracking_uri):
                yield tracker
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            if info.nested:
                with only_warn(self.tracking_uri, f"the MLflow run of {info.node} ends with the pipeline's"):
                    self._open().set_terminated(tracker.run_id, status)

    def conclude(self, info: RunInfo) -> str:
        """Write down how a run ended; the id of its MLflow run. As often as you like."""
        with clear_errors(self.tracking_uri):
            return self._runs(info.pipeline).conclude(info)

    def parent(self, run_id: str, pipeline: str, parameters: Mapping[str, object], started: datetime) -> Run:
        """The MLflow run of a whole run, made if need be."""
        return self._runs(pipeline).parent(run_id, pipeline, parameters, started)

    def _find(self, info: AttemptInfo) -> Run:
        parent = self.parent(info.run_id, info.pipeline, info.parameters, info.started)
        if not info.nested:
            return parent
        return self._runs(info.pipeline).nested(info, parent.info.run_id)

    def _runs(self, pipeline: str) -> KeyedRuns:
        client = self._open()
        if pipeline not in self._experiments:
            self._experiments[pipeline] = experiment_of(
                client, pipeline, self.tracking_uri, self._artifact_root
            )
        return KeyedRuns(client, self._experiments[pipeline], self._recall, self._remember)

    def _open(self) -> MlflowClient:
        if self._client is None:
            self._client = open_store(self.tracking_uri)
        return self._client
