"""Logs a fitted estimator to MLflow: by skops, with its signature, once for a node and name."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifacts.trust import trusted_types
from workers.tracking.errors import ModelNotLoggable
from workers.tracking.library import MODEL_MODULES, load

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

log = logging.getLogger(__name__)

RUN, NODE, DIGEST = "orchestrator.run", "orchestrator.node", "orchestrator.digest"
MODEL_FILE = "model.skops"
EXAMPLE_ROWS = 5


def log_model(
    client: MlflowClient, run_id: str, node: str, model: object, *, example: object, name: str = "model"
) -> str:
    """Keep a fitted estimator with its signature and up to five rows of `example`; return its URI.

    What an earlier attempt of the node logged under the same name is replaced. MLflow's own `log_model` takes
    seconds: it guesses the requirements by loading the model in another process, and loads it twice more to
    try it as a server would. The requirements are known here, so nothing needs to be guessed.
    """
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(run_id)
    rows = _first_rows(example)
    earlier = _logged(client, run, node, name)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={NODE: node, RUN: run.data.tags.get(RUN, "")},
        params=run.data.params,
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        _save(model, rows, saved, logged.model_id, run_id, logged.artifact_location)
        digest = f"sha256:{hashlib.sha256((saved / MODEL_FILE).read_bytes()).hexdigest()}"
        client.log_model_artifacts(logged.model_id, str(saved))
    client.set_logged_model_tags(logged.model_id, {DIGEST: digest})
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    _link_metrics(client, run, logged.model_id)
    client.finalize_logged_model(logged.model_id, "READY")
    for model_id in earlier:
        client.delete_logged_model(model_id)
    return f"models:/{logged.model_id}"


def _save(model: object, rows: object, folder: Path, model_id: str, run_id: str, location: str) -> None:
    load(*MODEL_MODULES)
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        with warnings.catch_warnings():
            # A hint that integers may one day be missing: what a table may lack is the pipeline's matter.
            warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer")
            # MLflow 3.17 compares columns in a way that pandas 4 will drop.
            warnings.filterwarnings("ignore", message="Operation with range is deprecated")
            mlflow.sklearn.save_model(
                model,
                str(folder),
                mlflow_model=Model(
                    artifact_path=location, model_uuid=model_id, run_id=run_id, model_id=model_id
                ),
                serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
                skops_trusted_types=list(trusted_types()),
                signature=_signature(model, rows),
                input_example=rows,
                pip_requirements=_requirements(),
            )
    except MlflowException as error:
        raise ModelNotLoggable(
            f"a {type(model).__name__} cannot be kept by skops: {error}",
            hint="If you trust the types it names, add them to ORCHESTRATOR_TRUSTED_TYPES on every worker.",
        ) from error


def _signature(model: object, rows: object) -> ModelSignature:
    from mlflow.models import infer_signature

    predict = getattr(model, "predict", None) or getattr(model, "transform", None)
    return infer_signature(rows, predict(rows) if predict else None)


def _requirements() -> Sequence[str]:
    """What the model was fitted with; MLflow adds itself."""
    return [f"{name}=={version(name)}" for name in ("scikit-learn", "skops", "numpy", "pandas")]


def _first_rows(example: object) -> object:
    """A few rows of a table, an array or a list."""
    head = getattr(example, "head", None)
    return head(EXAMPLE_ROWS) if head is not None else example[:EXAMPLE_ROWS]  # type: ignore[index]


def _logged(client: MlflowClient, run: Run, node: str, name: str) -> list[str]:
    """The models that the node has logged under this name."""
    wanted = f"source_run_id = '{run.info.run_id}' AND name = '{name}' AND tags.`{NODE}` = '{node}'"
    found = client.search_logged_models([run.info.experiment_id], wanted)
    return [str(model.model_id) for model in found]


def _link_metrics(client: MlflowClient, run: Run, model_id: str) -> None:
    """Show what the run has measured so far with the model, too."""
    from mlflow.entities import Metric

    measured = [
        Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id, run_id=run.info.run_id)
        for m in run.data._metric_objs
    ]
    if measured:
        client.log_batch(run.info.run_id, metrics=measured)
