"""What a run that has ended has in its record and in MLflow, and should not: a line for each breach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.authoring.graph import JSON
from orchestrator.runs.record import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run


def wrong_values(record: RunRecord, expected: Mapping[str, JSON]) -> Iterator[str]:
    """Nodes that have not succeeded, gave something else, or are not known at all."""
    if record.state != "succeeded":
        yield f"the run {record.state}: {record.error}"
    names = {node.name for node in record.nodes}
    for name in sorted(expected.keys() - names):
        yield f"nothing is known of {name}"
    for node in record.nodes:
        if node.state != "succeeded":
            yield f"{node.name} is {node.state}: {node.error}"
        elif node.name in expected and node.value != expected[node.name]:
            yield f"{node.name} gave {node.value} instead of {expected[node.name]}"


def wrong_in_mlflow(client: MlflowClient, record: RunRecord) -> Iterator[str]:
    """Runs and models that MLflow has too many of, too few, or not ended, for a run and its nodes."""
    found, models = in_mlflow(client, record)
    if not found:
        yield "MLflow has nothing of the run"
        return
    parents = [each.info.run_id for each in found if "mlflow.parentRunId" not in each.data.tags]
    if parents != [record.mlflow_run_id]:
        yield f"MLflow has {parents} for the run, whose own is {record.mlflow_run_id}"
    nested = Counter(node_of(each) for each in found if each.info.run_id not in parents)
    training = Counter(node.name for node in record.nodes if node.queue == "training")
    if nested != training:
        yield f"MLflow has nested runs of {dict(nested)}, for {dict(training)}"
    for each in found:
        node = node_of(each)
        if each.info.status != "FINISHED":
            yield f"MLflow has {node or 'the run'} as {each.info.status}"
        models_of = [model for model in models if model.source_run_id == each.info.run_id]
        if len(models_of) != (1 if node else 0):
            yield f"MLflow has {len(models_of)} models of {node or 'the run'}"


def in_mlflow(client: MlflowClient, record: RunRecord) -> tuple[list[Run], list[LoggedModel]]:
    """All that MLflow has of a run: runs, and the models that they logged."""
    experiment = client.get_experiment_by_name(record.pipeline)
    if experiment is None:
        return [], []
    places = [experiment.experiment_id]
    found = list(client.search_runs(places, f"tags.`orchestrator.run` = '{record.id}'"))
    ids = {each.info.run_id for each in found}
    models = list(client.search_logged_models(places, max_results=1000))
    return found, [each for each in models if each.source_run_id in ids]


def node_of(run: Run) -> str | None:
    """The node that a run of MLflow's is about; None for the run of a whole run."""
    node: str | None = run.data.tags.get("orchestrator.node")
    return node
