"""Find or create the MLflow runs of a pipeline run; each is created once, also by concurrent processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.authoring.masking import mask_text
from workers.tracking.errors import is_removed
from workers.tracking.headlines import source_tags, write_headlines
from workers.tracking.models import (
    ATTEMPT,
    NODE,
    ROUND,
    RUN,
    delete_models,
    order_of,
    order_tags,
    place_of,
    search_models,
)
from workers.tracking.names import as_params, write_params
from workers.tracking.records import (
    AttemptInfo,
    AttemptOrder,
    Recall,
    Remember,
    RunInfo,
    milliseconds,
    model_key,
    run_key,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

PIPELINE, STAGE, STATE = "orchestrator.pipeline", "orchestrator.stage", "orchestrator.state"
PARENT, NOTE, ERROR = "mlflow.parentRunId", "mlflow.note.content", "orchestrator.error"

#: Characters that MLflow takes in a tag.
LONGEST_NOTE = 5000

_STATUS = {"succeeded": "FINISHED", "skipped": "FINISHED", "cancelled": "KILLED"}


def status_of(state: str) -> str:
    """Return MLflow's run status for the final state of a run or a node."""
    return _STATUS.get(state, "FAILED")


class KeyedRuns:
    """The MLflow runs of one experiment; each key is bound permanently to one MLflow run.

    If a key is unbound, the caller searches MLflow by tags (the binding may be lost), otherwise creates the
    run and tries to bind it; the loser of that race deletes its run. If a process dies in between, its run is
    found by tags the next time, and `conclude` deletes surplus runs.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        recall: Recall,
        remember: Remember,
        seen: Sequence[Run] | None = None,
    ) -> None:
        """`seen` is what a search for all MLflow runs of the pipeline run has found, if there was one."""
        self._client = client
        self._seen = seen
        self._experiment = experiment
        self._recall = recall
        self._remember = remember

    def parent(self, run_id: str, pipeline: str, parameters: Mapping[str, object], started: datetime) -> Run:
        """Find or create the MLflow run of the whole pipeline run. Only `conclude` sets its status."""
        key = run_key(run_id)
        known = self._known(key, {RUN: run_id, PIPELINE: pipeline}, search=True)
        if known is not None:
            return known
        return self._make(key, run_id, _tags_of(run_id, pipeline), as_params(parameters), started)

    def nested(
        self, info: AttemptInfo, parent_id: str, check: Callable[[], None], *, late: bool = False
    ) -> Run:
        """Find or create the MLflow run of one node, which all its attempts share.

        `check` raises if the attempt has lost its node: the run is then left unchanged. With `late` the
        attempt is over: a run that a later attempt has used, or that another delivery has completed, is not
        changed.
        """
        key = run_key(info.run_id, info.node)
        run = self._known(key, {RUN: info.run_id, NODE: info.node}, search=not info.fresh)
        check()
        if run is not None:
            if not late or self._misses(run, info):
                with self._undone_if_lost(run, check):
                    self._label(run, order_tags(info.order))
                    self._client.update_run(run.info.run_id, "RUNNING")
            return run
        tags = {
            RUN: info.run_id,
            PIPELINE: info.pipeline,
            NODE: info.node,
            STAGE: info.stage,
            **order_tags(info.order),
            PARENT: parent_id,
            **_source(info.stage),
        }
        made = self._make(key, info.node, tags, {}, info.began)
        try:
            check()
        except BaseException:  # the pipeline's run may have been concluded before this one was created
            as_it_is = self._client.get_run(made.info.run_id)
            if as_it_is.info.status == "RUNNING" and order_of(as_it_is.data.tags) == info.order:
                self._client.set_terminated(made.info.run_id, "KILLED")
            raise
        return made

    def of_map(
        self, run_id: str, pipeline: str, map: tuple[str, str], parent_id: str, started: datetime
    ) -> Run:
        """Find or create the MLflow run of a map, by its name and stage. Only `conclude` sets its status."""
        name, stage = map
        key, tags = run_key(run_id, name), {RUN: run_id, NODE: name}
        known = self._known(key, tags, search=True)
        if known is not None:
            return known
        tags |= {PIPELINE: pipeline, STAGE: stage, PARENT: parent_id, **_source(stage)}
        return self._make(key, name, tags, {}, started)

    def _misses(self, run: Run, info: AttemptInfo) -> bool:
        """Whether an attempt's outbox has not been delivered yet; several deliveries may be concurrent."""
        known = order_of(run.data.tags)
        return known < info.order or (known == info.order and run.info.status == "RUNNING")

    @contextmanager
    def _undone_if_lost(self, run: Run, check: Callable[[], None]) -> Iterator[None]:
        """Restore the run's status and tags after the block if the node has been taken over meanwhile."""
        yield
        try:
            check()
        except BaseException:
            if run.info.status != "RUNNING":
                self._client.set_terminated(run.info.run_id, run.info.status, run.info.end_time)
            self._label(run, {key: run.data.tags[key] for key in (ROUND, ATTEMPT) if key in run.data.tags})
            raise

    def _label(self, run: Run, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def conclude(self, info: RunInfo) -> str:
        """Write the end of the run, end nodes' runs that are still running, and delete surplus runs.

        The end of a later round is not overwritten by a late conclusion of an earlier one.
        """
        key = run_key(info.run_id)
        is_known = self._recall(key) is not None or bool(self.all_of(info.run_id))
        if is_known:
            run = self.parent(info.run_id, info.pipeline, info.parameters, info.started)
        else:  # nobody has logged anything
            self._seen = []
            run = self._make(key, info.run_id, _tags_of(info.run_id, info.pipeline), {}, info.started)
        parent = str(run.info.run_id)
        if int(run.data.tags.get(ROUND, 0)) > info.round:
            return parent
        write_headlines(self._client, run, self._tidy(info, parent), info)
        if is_known:
            self._tidy_models(info)
        # Also if it is not new: who created it may have died before it wrote its params. They are immutable.
        params = {k: v for k, v in as_params(info.parameters).items() if k not in run.data.params}
        tags = {
            STATE: info.state,
            ROUND: str(info.round),
            **_note(info, run),
            **source_tags(info),
            **info.tags,
        }
        write_params(self._client, parent, params, tags)
        if info.name:
            self._client.update_run(parent, name=info.name)
        self._client.set_terminated(parent, status_of(info.state), milliseconds(info.ended))
        return parent

    def _tidy(self, info: RunInfo, parent: str) -> dict[str, Run]:
        """End running runs of nodes and delete surplus ones; return the nodes' runs by node name."""
        states = {node.name: node.state for node in (*info.nodes, *info.maps)}
        kept: dict[str, Run] = {}
        for run in sorted(self._search({RUN: info.run_id}), key=_weight, reverse=True):
            node, found = run.data.tags.get(NODE, ""), run.info.run_id
            if found != (self._bind(run_key(info.run_id, node), found) if node else parent):
                self._client.delete_run(found)
            elif node:
                kept[node] = run
        for map in info.maps:
            if map.name not in kept:
                place = (map.name, map.stage)
                kept[map.name] = self.of_map(info.run_id, info.pipeline, place, parent, info.started)
        for node, run in kept.items():
            belongs_to_later_round = order_of(run.data.tags)[0] > info.round
            if not belongs_to_later_round and _is_wrong(run.info.status, states.get(node)):
                ended = status_of(states.get(node, info.state))
                self._client.set_terminated(run.info.run_id, ended, milliseconds(info.ended))
        return kept

    def _tidy_models(self, info: RunInfo) -> None:
        """Keep one model of each name per node: that of the attempt whose output is committed.

        Of several copies the bound one stays, which a concurrent delivery keeps too.
        """
        run_id = info.run_id
        found: dict[tuple[str, str], list[LoggedModel]] = {}
        for model in search_models(self._client, self._experiment, f"tags.`{RUN}` = '{run_id}'"):
            found.setdefault((model.tags.get(NODE, ""), model.name), []).append(model)
        for (node, name), models in found.items():
            if len(models) > 1:
                counts = _that_counts(models, info.committed(node))
                key = model_key(run_id, node, name, place_of(counts))
                bound = self._remember(key, counts.model_id)
                kept = bound if bound in {model.model_id for model in models} else counts.model_id
                delete_models(self._client, models, but=kept)

    def _known(self, key: str, tags: Mapping[str, str], *, search: bool) -> Run | None:
        """Return the run of a key, restored if it was deleted; None if there is none."""
        bound = self._recall(key)
        while bound is not None:
            run = self._get(bound)
            if run is not None:
                return self._active(run)
            search, key = True, _successor(key, bound)
            bound = self._recall(key)
        if not search:
            return None
        matching = (run for run in self._search(tags) if (NODE in run.data.tags) == (NODE in tags))
        earlier = max(matching, key=_weight, default=None)
        return self._get(self._bind(key, earlier.info.run_id)) if earlier else None

    def _bind(self, key: str, made: str) -> str:
        """Bind a run to a key unless an existing run is bound to it; return the bound run's id."""
        bound = self._remember(key, made)
        while bound != made and self._get(bound) is None:
            key = _successor(key, bound)
            bound = self._remember(key, made)
        return bound

    def all_of(self, run_id: str) -> list[Run]:
        """Return all MLflow runs of a pipeline run: its own, and those of its nodes."""
        return list(self._search({RUN: run_id}))

    def _search(self, tags: Mapping[str, str]) -> Iterable[Run]:
        if self._seen is not None:
            yield from (run for run in self._seen if tags.items() <= run.data.tags.items())
            return
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        token = None
        while True:
            page = self._client.search_runs([self._experiment], wanted, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _make(
        self, key: str, name: str, tags: dict[str, str], params: dict[str, str], started: datetime
    ) -> Run:
        made = self._client.create_run(self._experiment, milliseconds(started), tags, name)
        bound = self._bind(key, made.info.run_id)
        if bound != made.info.run_id:
            self._client.delete_run(made.info.run_id)
            return self._active(self._client.get_run(bound))
        write_params(self._client, bound, params)
        return made

    def _get(self, mlflow_id: str) -> Run | None:
        """Return a run, deleted or not; None if it was removed permanently."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(mlflow_id)
        except MlflowException as error:
            if not is_removed(error):
                raise
            return None

    def _active(self, run: Run) -> Run:
        """Return the run after restoring it, with its experiment, if it was deleted meanwhile."""
        if run.info.lifecycle_stage == "deleted":
            experiment = self._client.get_experiment(run.info.experiment_id)
            if experiment.lifecycle_stage == "deleted":
                self._client.restore_experiment(experiment.experiment_id)
            else:
                self._client.restore_run(run.info.run_id)
        return run


def _successor(key: str, gone: str) -> str:
    """Return the key for the replacement of a permanently removed run, since each key is bound once."""
    return f"{key}/instead-of/{gone}"


def _note(info: RunInfo, run: Run) -> dict[str, str]:
    """Return tags with the run's note and error; clear an earlier error after a success, but not a note."""
    if info.error:
        told = mask_text(info.error)[:LONGEST_NOTE]
        both = "\n\n".join(filter(None, (info.note, told)))[:LONGEST_NOTE]
        return {NOTE: both, ERROR: told}
    given = {NOTE: info.note} if info.note else {}
    earlier = run.data.tags.get(ERROR)
    if not earlier:
        return given
    return {ERROR: ""} | (given or ({NOTE: ""} if run.data.tags.get(NOTE) == earlier else {}))


def _weight(run: Run) -> tuple[AttemptOrder, bool, str]:
    """Sort key of runs of one node: the greatest one, of the latest attempt, counts."""
    return order_of(run.data.tags), run.info.status == "FINISHED", run.info.run_id


def _that_counts(models: Sequence[LoggedModel], committed: AttemptOrder | None) -> LoggedModel:
    """Return the model of the committed attempt, else the latest; `models` are sorted latest first."""
    own = (model for model in models if order_of(model.tags) == committed)
    return next(own, models[0])


def _is_wrong(status: str, state: str | None) -> bool:
    """Whether a node's run is still running, or was ended wrongly by an attempt without a lease."""
    return status == "RUNNING" or (state in ("succeeded", "failed") and status != status_of(state))


def _tags_of(run_id: str, pipeline: str) -> dict[str, str]:
    """Return the tags with which the MLflow run of a whole run is created."""
    return {RUN: run_id, PIPELINE: pipeline, STATE: "running", **_source(pipeline)}


def _source(name: str) -> dict[str, str]:
    return {"mlflow.source.name": name, "mlflow.source.type": "JOB"}
