"""Summarize a run in its parent MLflow run: its nodes' metrics, the commit of its code, and its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workers.tracking.names import MOST_METRICS, fitting_name, in_parts
from workers.tracking.records import Data, RunInfo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Run

COMMIT, DIRTY = "mlflow.source.git.commit", "mlflow.source.git.dirty"
_OF_THE_MACHINE = "system/"  #: MLflow's system metrics of a process
_LONGEST_DIGEST, _LONGEST_DATA = 36, 500  #: MLflow's own limits


def source_tags(info: RunInfo) -> dict[str, str]:
    """Return tags with the git commit of the pipeline's code at submission, if known."""
    return {COMMIT: info.commit, DIRTY: str(info.dirty).lower()} if info.commit else {}


def write_headlines(client: MlflowClient, parent: Run, nodes: Mapping[str, Run], info: RunInfo) -> None:
    """Log the metrics of each succeeded node, except map items, as `<node>/<metric>`, and the run's data.

    Skips what is logged already.
    """
    from mlflow.entities import Metric

    succeeded = {node.name for node in info.nodes if node.state == "succeeded"}
    metrics = [
        Metric(name, each.value, each.timestamp, each.step)
        for node, run in nodes.items()
        if node in succeeded and "[" not in node
        for each in run.data._metric_objs
        if not each.key.startswith(_OF_THE_MACHINE)
        and parent.data.metrics.get(name := fitting_name(f"{node}/{each.key}")) != each.value
    ]
    for part in in_parts(metrics, MOST_METRICS):
        client.log_batch(parent.info.run_id, metrics=part)
    if info.data:
        _log_data(client, parent, info)


def _log_data(client: MlflowClient, parent: Run, info: RunInfo) -> None:
    from mlflow.entities import DatasetInput

    known = {(each.dataset.name, each.dataset.digest) for each in parent.inputs.dataset_inputs}
    wanted = [_dataset(each) for each in info.data]
    fresh = [DatasetInput(each) for each in wanted if (each.name, each.digest) not in known]
    if fresh:
        client.log_inputs(parent.info.run_id, datasets=fresh)


def _dataset(data: Data) -> Dataset:
    from mlflow.entities import Dataset

    digest = data.digest.rpartition(":")[2][:_LONGEST_DIGEST]
    return Dataset(data.name[-_LONGEST_DATA:], digest, data.kind, json.dumps({"uri": data.source}))
