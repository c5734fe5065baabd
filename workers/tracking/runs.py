"""Finds or makes the MLflow runs of a pipeline run: each once, whoever asks first and however often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from workers.tracking.masking import as_params, mask_text
from workers.tracking.models import ATTEMPT, BEGAN, NODE, RUN, search_models
from workers.tracking.records import AttemptInfo, Recall, Remember, RunInfo, milliseconds, run_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PIPELINE, STAGE, STATE = "orchestrator.pipeline", "orchestrator.stage", "orchestrator.state"
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"

_STATUS = {"succeeded": "FINISHED", "skipped": "FINISHED", "cancelled": "KILLED"}


def status_of(state: str) -> str:
    """MLflow's word for how a run or a node ended."""
    return _STATUS.get(state, "FAILED")


class KeyedRuns:
    """The MLflow runs of one experiment, each under a key that is bound to one MLflow run for good.

    Whoever finds its key unbound looks in MLflow by tags (Redis may have been wiped), else makes the run and
    tries to bind it; who loses that race deletes what it made. What a process leaves behind when it dies in
    between is found by tags the next time, and `conclude` deletes what is surplus.
    """

    def __init__(self, client: MlflowClient, experiment: str, recall: Recall, remember: Remember) -> None:
        self._client = client
        self._experiment = experiment
        self._recall = recall
        self._remember = remember

    def parent(self, run_id: str, pipeline: str, parameters: Mapping[str, object], started: datetime) -> Run:
        """The run that stands for the whole pipeline run. Only `conclude` says how it stands."""
        key = run_key(run_id)
        known = self._known(key, {RUN: run_id, PIPELINE: pipeline}, search=True)
        if known is not None:
            return self._present(known)
        tags = {RUN: run_id, PIPELINE: pipeline, STATE: "running", **_source(pipeline)}
        return self._make(key, run_id, tags, as_params(parameters), started)

    def nested(self, info: AttemptInfo, parent_id: str, *, late: bool = False) -> Run:
        """The run of one node, for another attempt as for the first.

        With `late` the attempt is over: a run that a later one has taken up stays as that left it.
        """
        from mlflow.entities import RunTag

        began = milliseconds(info.began)
        key = run_key(info.run_id, info.node)
        known = self._known(key, {RUN: info.run_id, NODE: info.node}, search=not info.fresh)
        if known is not None:
            run = self._present(known)
            if not late or int(run.data.tags.get(BEGAN, 0)) <= began:
                taken_up = [RunTag(ATTEMPT, str(info.attempt)), RunTag(BEGAN, str(began))]
                self._client.log_batch(known, tags=taken_up)
                self._client.update_run(known, "RUNNING")
            return run
        tags = {
            RUN: info.run_id,
            PIPELINE: info.pipeline,
            NODE: info.node,
            STAGE: info.stage,
            ATTEMPT: str(info.attempt),
            BEGAN: str(began),
            PARENT: parent_id,
            **_source(info.stage),
        }
        return self._make(key, info.node, tags, as_params(info.inputs, scalars_only=True), info.began)

    def conclude(self, info: RunInfo) -> str:
        """Write down how the run ended, end what still counts as running and delete what is surplus."""
        from mlflow.entities import Param, RunTag

        parent = self.parent(info.run_id, info.pipeline, info.parameters, info.started).info.run_id
        self._tidy(info, parent)
        tags = {STATE: info.state} | ({NOTE: mask_text(info.error)[:5000]} if info.error else {})
        self._client.log_batch(
            parent,
            # Once more: who made the run may have died before it wrote them.
            params=[Param(key, value) for key, value in as_params(info.parameters).items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        self._client.set_terminated(parent, status_of(info.state), milliseconds(info.ended))
        return str(parent)

    def _tidy(self, info: RunInfo, parent: str) -> None:
        states = {node.name: node.state for node in info.nodes}
        for run in self._search({RUN: info.run_id}):
            node, found = run.data.tags.get(NODE, ""), run.info.run_id
            bound = self._remember(run_key(info.run_id, node), found) if node else parent
            if found != bound:
                self._client.delete_run(found)
            elif node and _is_wrong(run.info.status, states.get(node)):
                ended = status_of(states.get(node, info.state))
                self._client.set_terminated(found, ended, milliseconds(info.ended))
        self._tidy_models(info.run_id)

    def _tidy_models(self, run_id: str) -> None:
        """Leave one model of each name to a node: what a dying or a paused worker left beside it goes."""
        kept: set[tuple[str, str]] = set()
        for model in search_models(self._client, self._experiment, f"tags.`{RUN}` = '{run_id}'"):
            key = (model.tags.get(NODE, ""), model.name)
            if key in kept:
                self._client.delete_logged_model(model.model_id)
            kept.add(key)

    def _known(self, key: str, tags: Mapping[str, str], *, search: bool) -> str | None:
        bound = self._recall(key)
        if bound is None and search:
            matching = (run for run in self._search(tags) if (NODE in run.data.tags) == (NODE in tags))
            earlier = next(matching, None)
            bound = self._remember(key, earlier.info.run_id) if earlier else None
        return bound

    def _search(self, tags: Mapping[str, str]) -> Iterable[Run]:
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], wanted, order_by=["attributes.start_time"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _make(
        self, key: str, name: str, tags: dict[str, str], params: dict[str, str], started: datetime
    ) -> Run:
        from mlflow.entities import Param

        made = self._client.create_run(self._experiment, milliseconds(started), tags, name)
        bound = self._remember(key, made.info.run_id)
        if bound != made.info.run_id:
            self._client.delete_run(made.info.run_id)
            return self._present(bound)
        self._client.log_batch(bound, params=[Param(key, value) for key, value in params.items()])
        return made

    def _present(self, mlflow_id: str) -> Run:
        """A run that is known, brought back if somebody deleted it meanwhile."""
        run = self._client.get_run(mlflow_id)
        if run.info.lifecycle_stage == "deleted":
            self._client.restore_run(mlflow_id)
        return run


def _is_wrong(status: str, state: str | None) -> bool:
    """Whether nobody, or an attempt that had lost its lease and woke up later, has said how a node ended."""
    return status == "RUNNING" or (state == "succeeded" and status != "FINISHED")


def _source(name: str) -> dict[str, str]:
    return {"mlflow.source.name": name, "mlflow.source.type": "JOB"}
