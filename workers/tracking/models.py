"""Log a fitted estimator to MLflow: in skops format, with its signature, once per node and name."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orchestrator.artifacts.errors import UntrustedTypes, WrongValue
from workers.tracking.errors import ModelNotLoggable
from workers.tracking.flushing import flush_artifacts
from workers.tracking.library import MODEL_MODULES, load
from workers.tracking.records import AttemptOrder, Remember, model_key

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

log = logging.getLogger(__name__)

RUN, NODE, ATTEMPT = "orchestrator.run", "orchestrator.node", "orchestrator.attempt"
#: `LOGGED` is the tag with a model's number among those of its attempt.
ROUND, LOGGED = "orchestrator.round", "orchestrator.logged"
DIGEST = "orchestrator.digest"
MODEL_FILE = "model.skops"
EXAMPLE_ROWS = 5
_ODD = ("period[", "interval[")


@dataclass(frozen=True)
class Authorship:
    """The attempt that logs."""

    run: str
    node: str
    order: AttemptOrder

    def is_latest(self, tags: Mapping[str, str]) -> bool:
        """Whether the run or model with these tags belongs to this attempt or an earlier one."""
        return order_of(tags) <= self.order


def order_of(tags: Mapping[str, str]) -> AttemptOrder:
    """Return the attempt's order from the tags of a run or a model."""
    return (int(tags.get(ROUND, 0)), int(tags.get(ATTEMPT, 0)))


def order_tags(order: AttemptOrder) -> dict[str, str]:
    """Return the tags that mark a run or a model with its attempt."""
    return {ROUND: str(order[0]), ATTEMPT: str(order[1])}


def save_model(model: object, example: object, folder: Path) -> None:
    """Save a fitted estimator with its signature and up to five rows of `example`; no request to MLflow.

    MLflow's own `log_model` takes seconds: it infers the requirements by loading the model in another
    process, and loads it twice more to validate serving. The requirements are known here.
    """
    load(*MODEL_MODULES)
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    rows = _first_rows(example)
    trusted = _types_in(model)
    try:
        with warnings.catch_warnings():
            # A hint that integers may be missing in later data: arrays and lists have no type for that.
            warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer")
            # MLflow 3.17 compares columns in a way that pandas 4 will drop.
            warnings.filterwarnings("ignore", message="Operation with range is deprecated")
            mlflow.sklearn.save_model(
                model,
                str(folder),
                mlflow_model=Model(),
                serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
                skops_trusted_types=trusted,
                signature=_signature(model, rows),
                input_example=_as_json(rows),
                pip_requirements=_requirements(trusted),
            )
    except MlflowException as error:
        raise ModelNotLoggable(f"a {type(model).__name__} cannot be logged: {error}") from error


def enter_model(
    client: MlflowClient,
    run_id: str,
    name: str,
    folder: Path,
    author: Authorship,
    logged: int,
    check: Callable[[], None],
) -> str:
    """Log a saved model as the attempt's model number `logged`, replacing its earlier ones; return the URI.

    Models of other attempts stay until the run is concluded: another attempt may have committed its output
    first, which refers to its model.
    """
    run = client.get_run(run_id)
    made = _make(client, run, name, folder, author, logged)
    try:
        check()
    except BaseException:
        client.delete_logged_model(made)
        raise
    if logged > 1:
        others = models_of(client, run.info.experiment_id, author.run, author.node, name)
        delete_models(client, _replaced((*author.order, logged), others), but=made)
    return f"models:/{made}"


def enter_late(
    client: MlflowClient,
    run_id: str,
    name: str,
    folder: Path,
    author: Authorship,
    logged: int,
    remember: Remember,
) -> str:
    """Log a kept model from an outbox; return the URI.

    If its attempt has logged a later model, or another delivery has logged this one, return that instead.
    """
    run, place = client.get_run(run_id), (*author.order, logged)
    others = models_of(client, run.info.experiment_id, author.run, author.node, name)
    for later in others:
        if is_ready(later) and order_of(later.tags) == author.order and place_of(later) >= place:
            return f"models:/{later.model_id}"
    made = _make(client, run, name, folder, author, logged)
    bound = remember(model_key(author.run, author.node, name, place), made)
    if bound != made:
        client.delete_logged_model(made)
    delete_models(client, _replaced(place, others), but=bound)
    return f"models:/{bound}"


def models_of(client: MlflowClient, experiment: str, run: str, node: str, name: str) -> list[LoggedModel]:
    """Return the models that a node has logged under a name, complete or not, latest first."""
    wanted = f"name = '{name}' AND tags.`{RUN}` = '{run}' AND tags.`{NODE}` = '{node}'"
    return search_models(client, experiment, wanted)


def search_models(client: MlflowClient, experiment: str, wanted: str) -> list[LoggedModel]:
    """Search models; sort complete ones first, then by attempt, latest first."""
    found: list[LoggedModel] = []
    token = None
    while True:
        page = client.search_logged_models([experiment], wanted, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    return sorted(found, key=lambda model: (is_ready(model), place_of(model), model.model_id), reverse=True)


def is_ready(model: LoggedModel) -> bool:
    """Whether the model was written completely."""
    return bool(model.status == "READY")


def place_of(model: LoggedModel) -> tuple[int, int, int]:
    """Sort key of models of one name: the greatest was logged last."""
    return (*order_of(model.tags), int(model.tags.get(LOGGED, 0)))


def _replaced(place: tuple[int, int, int], models: Iterable[LoggedModel]) -> list[LoggedModel]:
    """Return the models of the same attempt that were not logged later."""
    return [model for model in models if place_of(model)[:2] == place[:2] and place_of(model) <= place]


def delete_models(client: MlflowClient, models: Sequence[LoggedModel], *, but: str) -> None:
    """Delete all models except one."""
    for model in models:
        if model.model_id != but:
            client.delete_logged_model(model.model_id)


def _make(client: MlflowClient, run: Run, name: str, folder: Path, author: Authorship, logged: int) -> str:
    from mlflow.entities import LoggedModelOutput

    run_id = run.info.run_id
    made = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={RUN: author.run, NODE: author.node, LOGGED: str(logged), **order_tags(author.order)},
        params=run.data.params,
    )
    _address(folder, made, run_id)
    client.log_model_artifacts(made.model_id, str(folder))
    flush_artifacts(made.artifact_location)  # before MLflow marks it as complete
    digest = f"sha256:{hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()}"
    client.set_logged_model_tags(made.model_id, {DIGEST: digest})
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    _link_metrics(client, run, made.model_id)
    client.finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


def _address(folder: Path, logged: LoggedModel, run_id: str) -> None:
    """Write the logged model's id and location into a saved model."""
    from mlflow.models import Model

    description = Model.load(str(folder))
    description.artifact_path = logged.artifact_location
    description.model_uuid = description.model_id = logged.model_id
    description.run_id = run_id
    description.save(str(folder / "MLmodel"))


def _signature(model: object, rows: object) -> ModelSignature:
    from mlflow.models import ModelSignature, infer_signature

    predict = getattr(model, "predict", None) or getattr(model, "transform", None)
    outputs = predict(rows) if predict else None
    if not hasattr(rows, "dtypes"):
        return infer_signature(rows, outputs)
    signature = infer_signature(model_output=outputs) if outputs is not None else ModelSignature()
    return ModelSignature(inputs=_columns(cast("pd.DataFrame", rows)), outputs=signature.outputs)


def _columns(rows: pd.DataFrame) -> Schema:
    """Return the schema of a table's columns, such that none rejects data the model was fitted on.

    MLflow rejects an integer as a `double`, a missing value in a `long`, categories, and times with a zone.
    The rows at hand do not show what other rows contain, so numbers and the like get `AnyType`, and the model
    itself validates them.
    """
    import pandas as pd
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    def kind(column: pd.Series[Any]) -> DataType | AnyType:
        if column.dtype == bool:
            return DataType.boolean
        if str(column.dtype).startswith("datetime64[") and getattr(column.dtype, "tz", None) is None:
            return DataType.datetime
        text = isinstance(column.dtype, pd.StringDtype) or column.dtype == object
        return DataType.string if text and pd.api.types.infer_dtype(column) == "string" else AnyType()

    specs = [ColSpec(kind(rows[name]), name, required=False) for name in rows.columns]
    return Schema(specs)


def _types_in(model: object) -> list[str]:
    """Return the types in a model that skops does not trust by default; raises if one could not be loaded."""
    from orchestrator.artifacts.codecs.estimators import dump_estimator, types_in

    try:
        return types_in(dump_estimator(model))
    except (WrongValue, UntrustedTypes) as error:
        raise ModelNotLoggable(
            f"a {type(model).__name__} cannot be kept by skops: {error}", hint=error.hint
        ) from error


def _requirements(types: Iterable[str]) -> Sequence[str]:
    """Return the model's pip requirements; MLflow adds itself."""
    others = {name.partition(".")[0] for name in types}.intersection(("lightgbm", "xgboost"))
    libraries = ("scikit-learn", "skops", "numpy", "pandas", *sorted(others))
    return [f"{name}=={version(name)}" for name in libraries]


def _first_rows(example: object) -> object:
    """Return the first rows of a table, an array or a list."""
    head = getattr(example, "head", None)
    return head(EXAMPLE_ROWS) if head is not None else example[:EXAMPLE_ROWS]  # type: ignore[index]


def _as_json(rows: object) -> object:
    """Convert the rows to a JSON-serializable example: durations, periods and intervals as text."""
    if not hasattr(rows, "dtypes"):
        return rows
    table = cast("pd.DataFrame", rows)
    odd = [name for name, dtype in table.dtypes.items() if dtype.kind == "m" or str(dtype).startswith(_ODD)]
    return table.astype(dict.fromkeys(odd, str))


def _link_metrics(client: MlflowClient, run: Run, model_id: str) -> None:
    """Link the run's metrics so far to the model."""
    from mlflow.entities import Metric

    measured = [
        Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id, run_id=run.info.run_id)
        for m in run.data._metric_objs
    ]
    if measured:
        client.log_batch(run.info.run_id, metrics=measured)
