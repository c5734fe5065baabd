"""An MLflow in memory of which each call is a step; and as much of the library as is needed to talk to it.

The library itself would take seconds to import, and its store milliseconds to ask. What a client does is as
in MLflow 3.17: deleted runs are not found by a search, and may be read, restored, ended.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from workers.tracking.models import LOGGED, NODE, RUN, Authorship, order_tags

from .outages import Outages

if TYPE_CHECKING:
    from .scheduler import Scheduler

T = TypeVar("T")


class MlflowException(Exception):
    """What MLflow answers with where it refuses."""

    def __init__(self, message: str, error_code: str = "INTERNAL_ERROR") -> None:
        super().__init__(message)
        self.error_code = error_code


@dataclass
class Info:
    run_id: str
    experiment_id: str
    status: str = "RUNNING"
    start_time: int = 0
    end_time: int | None = None
    lifecycle_stage: str = "active"
    artifact_uri: str = "memory:/"


@dataclass
class Data:
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    _metric_objs: list[Any] = field(default_factory=list)


@dataclass
class Run:
    info: Info
    made: float = 0.0  #: on the simulation's clock
    data: Data = field(default_factory=Data)
    inputs: Any = field(default_factory=lambda: SimpleNamespace(dataset_inputs=[]))


@dataclass
class Model:
    model_id: str
    experiment_id: str
    name: str
    tags: dict[str, str]
    call: int  #: of the stage that logged it
    creation_timestamp: int
    status: str = "PENDING"


class Page(list[T]):
    token = None


class Mlflow:
    """The server: what all clients share."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.models: dict[str, Model] = {}
        self.experiments: dict[str, Any] = {}
        self.numbers = count(1)
        self.written: Callable[[str], None] = lambda _: None  #: hears of each node that is written to


class SteppedMlflow:
    """A client, with what `workers.tracking` asks of one."""

    def __init__(self, world: Scheduler, outages: Outages, server: Mlflow) -> None:
        self.world, self.outages, self.server = world, outages, server

    def get_experiment_by_name(self, name: str) -> Any:
        self._step(f"get experiment {name}")
        return self.server.experiments.get(name)

    def get_experiment(self, experiment_id: str) -> Any:
        self._step(f"get experiment {experiment_id}")
        return self.server.experiments[experiment_id]

    def create_experiment(self, name: str, **_: object) -> str:
        self._step(f"create experiment {name}")
        if name in self.server.experiments:
            raise MlflowException(f"experiment {name} exists", "RESOURCE_ALREADY_EXISTS")
        made = SimpleNamespace(experiment_id=name, lifecycle_stage="active", name=name)
        self.server.experiments[name] = made
        return name

    def create_run(self, experiment_id: str, start_time: int, tags: dict[str, str], run_name: str) -> Run:
        self._step(f"create run {run_name}")
        run = Run(
            Info(f"mlflow-{next(self.server.numbers)}", experiment_id, start_time=start_time),
            self.world.now,
            Data(dict(tags)),
        )
        self.server.runs[run.info.run_id] = run
        self.world.reply(run.info.run_id)
        self._written(run)
        return deepcopy(run)

    def get_run(self, run_id: str) -> Run:
        self._step(f"get run {run_id}")
        if run_id not in self.server.runs:
            raise MlflowException(f"there is no run {run_id}", "RESOURCE_DOES_NOT_EXIST")
        run = deepcopy(self.server.runs[run_id])
        self.world.reply(f"{run.info.status}, {run.info.lifecycle_stage}")
        return run

    def search_runs(self, _: list[str], filter_string: str, **__: object) -> Page[Run]:
        self._step(f"search runs {filter_string}")
        wanted = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", filter_string))
        found = [
            run
            for run in self.server.runs.values()
            if run.info.lifecycle_stage == "active" and wanted.items() <= run.data.tags.items()
        ]
        self.world.reply([run.info.run_id for run in found])
        return Page(deepcopy(sorted(found, key=lambda run: run.info.start_time)))

    def set_terminated(self, run_id: str, status: str = "FINISHED", end_time: int | None = None) -> None:
        self._step(f"set {run_id} to {status}")
        run = self.server.runs[run_id]
        run.info.status, run.info.end_time = status, end_time
        self._written(run)

    def update_run(self, run_id: str, status: str) -> None:
        self._step(f"set {run_id} to {status}")
        run = self._active(run_id)
        run.info.status = status
        self._written(run)

    def delete_run(self, run_id: str) -> None:
        self._step(f"delete run {run_id}")
        self.server.runs[run_id].info.lifecycle_stage = "deleted"

    def restore_run(self, run_id: str) -> None:
        self._step(f"restore run {run_id}")
        self.server.runs[run_id].info.lifecycle_stage = "active"

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        told = [f"{each.key}={each.value}" for each in (*metrics, *params, *tags)]
        self._step(f"log to {run_id}: {' '.join(told)}")
        data = self._active(run_id).data
        data.tags.update({tag.key: tag.value for tag in tags})
        data.params.update({param.key: param.value for param in params})
        data.metrics.update({metric.key: metric.value for metric in metrics})
        self._written(self.server.runs[run_id])

    def log_inputs(self, run_id: str, datasets: list[Any]) -> None:
        self._step(f"log inputs of {run_id}")
        self._active(run_id).inputs.dataset_inputs.extend(datasets)

    def create_logged_model(self, experiment_id: str, name: str, tags: dict[str, str], call: int) -> Model:
        self._step(f"create model {name} of call {call}")
        number = f"model-{next(self.server.numbers)}"
        made = Model(number, experiment_id, name, dict(tags), call, int(self.world.wall_clock() * 1000))
        self.server.models[number] = made
        self.world.reply(number)
        return replace(made)

    def finalize_logged_model(self, model_id: str, status: str) -> None:
        self._step(f"set {model_id} to {status}")
        if model_id not in self.server.models:
            raise MlflowException(f"there is no model {model_id}", "RESOURCE_DOES_NOT_EXIST")
        self.server.models[model_id].status = status

    def delete_logged_model(self, model_id: str) -> None:
        self._step(f"delete {model_id}")
        self.server.models.pop(model_id, None)

    def search_logged_models(self, _: list[str], filter_string: str, **__: object) -> Page[Model]:
        self._step(f"search models {filter_string}")
        wanted = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", filter_string))
        found = [each for each in self.server.models.values() if wanted.items() <= each.tags.items()]
        self.world.reply([each.model_id for each in found])
        return Page(replace(each) for each in found)

    def _active(self, run_id: str) -> Run:
        run = self.server.runs[run_id]
        if run.info.lifecycle_stage != "active":
            raise MlflowException(f"The run {run_id} must be in the 'active' state.")
        return run

    def _written(self, run: Run) -> None:
        self.server.written(run.data.tags.get(NODE, ""))

    def _step(self, doing: str) -> None:
        self.world.step(f"mlflow: {doing}"[:150])
        if self.world.now < self.outages.tracking_away_until:
            self.world.reply("away")
            raise MlflowException("API request to mlflow failed with exception: it is away")


def save_model(model: object, example: object, folder: Path) -> None:
    """In the place of `models.save_model`: a model is the number of the call that made it."""
    del example
    folder.mkdir(parents=True)
    (folder / "call").write_text(str(model))


def make_model(
    client: SteppedMlflow, run: Run, name: str, folder: Path, author: Authorship, logged: int
) -> str:
    """In the place of `models._make`, whose steps these are."""
    tags = {RUN: author.run, NODE: author.node, LOGGED: str(logged), **order_tags(author.order)}
    call = int((folder / "call").read_text())
    made = client.create_logged_model(run.info.experiment_id, name, tags, call)
    client.finalize_logged_model(made.model_id, "READY")
    return made.model_id


def _entity(*names: str) -> type:
    def init(self: Any, *values: Any) -> None:
        for name, value in zip(names, values, strict=False):
            setattr(self, name, value)

    return type("Entity", (), {"__init__": init})


def put_in_place_of_the_library() -> None:
    """Have this process import these few names as `mlflow`."""
    library, entities, exceptions = (
        ModuleType(name) for name in ("mlflow", "mlflow.entities", "mlflow.exceptions")
    )
    vars(entities).update(
        RunTag=_entity("key", "value"),
        Param=_entity("key", "value"),
        Metric=_entity("key", "value", "timestamp", "step"),
        DatasetInput=_entity("dataset", "tags"),
        Dataset=_entity("name", "digest", "source_type", "source"),
        Run=Run,
    )
    vars(exceptions)["MlflowException"] = MlflowException
    vars(library).update(entities=entities, exceptions=exceptions)
    sys.modules.update({module.__name__: module for module in (library, entities, exceptions)})
