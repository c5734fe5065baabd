"""A model that a stage logs: how it is kept, and that there is one of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import date

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import SVC

from orchestrator.runs.errors import LeaseLost
from workers.tracking import ModelNotLoggable, NodeInfo

from .conftest import LostLease, attempt_of, run_of


@pytest.fixture
def log(tracking):
    """Log a model from a stage; its MLflow model id."""

    def log(model, example, node="fit", queue="training", attempt=1, name="model"):
        with tracking.attempt(attempt_of(node, queue=queue, attempt=attempt)) as tracker:
            tracker.log_metrics({"accuracy": 0.9})
            return tracker.log_model(model, example=example, name=name).removeprefix("models:/")

    return log


def logged_models(client, experiment="digits"):
    return client.search_logged_models([client.get_experiment_by_name(experiment).experiment_id])


def test_a_model_is_kept_by_skops_with_signature_example_and_requirements(log, forest, iris, uri, client):
    mlflow.set_tracking_uri(uri)
    model_id = log(forest, iris[0])
    info = mlflow.models.get_model_info(f"models:/{model_id}")
    assert info.flavors["sklearn"]["serialization_format"] == "skops"
    assert info.signature.inputs.input_names() == list(iris[0].columns)
    assert info.signature.outputs is not None
    assert info.saved_input_example_info is not None
    requirements = mlflow.artifacts.load_text(
        f"{client.get_logged_model(model_id).artifact_location}/requirements.txt"
    )
    assert {"scikit-learn", "skops", "numpy", "pandas", "mlflow"} <= {
        line.split("==")[0] for line in requirements.splitlines()
    }


def test_a_model_belongs_to_its_run(log, linear, iris, client, runs):
    model = client.get_logged_model(log(linear, iris[0]))
    run = runs()["fit"]
    assert model.source_run_id == run.info.run_id
    assert model.status == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert [(metric.key, metric.value) for metric in model.metrics] == [("accuracy", 0.9)]
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == 1


@pytest.mark.parametrize("committed", [None, (0, 1), (0, 2)])
def test_of_several_attempts_the_model_stays_whose_output_counts(
    log, linear, forest, iris, client, tracking, committed
):
    """An attempt that was taken over may have stored its output first, which names its model."""
    first = log(linear, iris[0])
    second = log(forest, iris[0], attempt=2)
    assert {model.model_id for model in logged_models(client)} == {first, second}
    done = run_of(nodes=(NodeInfo(name="fit", state="succeeded"),))
    tracking.conclude(replace(done, committed=lambda _: committed))
    kept = first if committed == (0, 1) else second
    assert [model.model_id for model in logged_models(client)] == [kept]


def test_a_model_of_an_attempt_that_was_taken_over_goes(tracking, linear, forest, iris, client, runs):
    with tracking.attempt(attempt_of(attempt=2)) as tracker:
        kept = tracker.log_model(forest, example=iris[0])
    with pytest.raises(LeaseLost), tracking.attempt(attempt_of(), LostLease(after=2)) as tracker:
        tracker.log_model(linear, example=iris[0])
    assert [f"models:/{model.model_id}" for model in logged_models(client)] == [kept]
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    assert runs()["fit"].info.status == "FINISHED"


def test_concluding_leaves_the_last_complete_model_of_a_name(log, linear, iris, client, tracking):
    kept = log(linear, iris[0])
    model = client.get_logged_model(kept)
    for attempt in ("0", "9"):  # an earlier one that was complete, and a later one whose worker died over it
        tags = {**model.tags, "orchestrator.attempt": attempt}
        made = client.create_logged_model(model.experiment_id, name="model", tags=tags)
        if attempt == "0":
            client.finalize_logged_model(made.model_id, "READY")
    client.create_logged_model(model.experiment_id, name="of somebody else")
    tracking.conclude(run_of())
    assert sorted(each.name for each in logged_models(client)) == ["model", "of somebody else"]
    assert kept in {each.model_id for each in logged_models(client)}


def test_nodes_that_share_the_pipelines_run_keep_their_models_apart(log, linear, iris, client):
    ids = {log(linear, iris[0], node=node, queue="data") for node in ("prepare", "select")}
    assert {model.model_id for model in logged_models(client)} == ids


def test_models_of_different_names_stand_side_by_side(log, linear, iris, client):
    ids = {log(linear, iris[0], attempt=n, name=name) for n, name in enumerate(("scaler", "model"), 1)}
    assert {model.model_id for model in logged_models(client)} == ids


def test_a_model_of_mixed_columns_is_kept(log, client):
    table = pd.DataFrame(
        {
            "age": [30, 41, 52, 63] * 20,
            "income": [1.0, None, 3.0, 4.0] * 20,
            "town": pd.Categorical(["a", "b", "a", None] * 20),
            "name": ["x", "y", None, "z"] * 20,
            "joined": pd.to_datetime(["2024-01-01", "2024-02-01", "NaT", "2024-03-01"] * 20),
        }
    )
    prepare = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["town", "name"]), ("passthrough", ["age", "income"])
    )
    model = make_pipeline(prepare, HistGradientBoostingClassifier(max_iter=3)).fit(table, [0, 1, 0, 1] * 20)
    assert client.get_logged_model(log(model, table)).status == "READY"


ROWS = 12
MIXED = pd.DataFrame(
    {
        "whole": range(ROWS),
        "amount": np.arange(ROWS) * 1.5,
        "gaps later": [1.0] * (ROWS - 1) + [None],
        "small": np.arange(ROWS, dtype="u1"),
        "nullable": pd.array([1] * (ROWS - 1) + [None], "Int64"),
        "flag": [True, False] * 6,
        "flag with gaps": pd.Series([True] * (ROWS - 1) + [None], dtype=object),
        "nullable flag": pd.array([True] * (ROWS - 1) + [None], "boolean"),
        "category": pd.Categorical(["a", "b"] * 6),
        "number category": pd.Categorical([1, 2] * 6),
        "day": pd.date_range("2024", periods=ROWS),
        "moment": pd.date_range("2024", periods=ROWS, tz="Europe/Berlin"),
        "date": [date(2024, 1, 1)] * ROWS,
        "text": ["x"] * (ROWS - 1) + [None],
        "text as objects": pd.Series(["x"] * (ROWS - 1) + [None], dtype=object),
        "nothing": pd.Series([None] * ROWS, dtype=object),
        "took": pd.to_timedelta(range(ROWS), "s"),
        "month": pd.period_range("2024-01", periods=ROWS, freq="M"),
    }
)


@pytest.mark.parametrize("example", [MIXED, MIXED.head()], ids=["all", "head"])
def test_the_signature_takes_the_table_that_the_model_was_fitted_on(log, uri, client, example):
    model = make_pipeline(make_column_transformer(("passthrough", ["amount"])), LinearRegression())
    location = client.get_logged_model(log(model.fit(MIXED, range(ROWS)), example)).artifact_location
    mlflow.set_tracking_uri(uri)
    served = mlflow.pyfunc.load_model(location)
    others = MIXED.assign(amount=range(ROWS), whole=MIXED["amount"].where(MIXED["flag"]))
    for table in (MIXED, MIXED.head(1), MIXED.tail(1), others):
        np.testing.assert_allclose(served.predict(table), model.predict(table))
    assert {spec.name: str(spec.type) for spec in served.metadata.signature.inputs}[
        "text"
    ] == "DataType.string"


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_boosters_of_others_are_kept_with_their_library(log, client, iris, name):
    library = pytest.importorskip(name)
    cls = library.LGBMClassifier if name == "lightgbm" else library.XGBClassifier
    made = client.get_logged_model(log(cls(n_estimators=2).fit(*iris), iris[0]))
    assert made.status == "READY"
    requirements = mlflow.artifacts.load_text(f"{made.artifact_location}/requirements.txt")
    assert f"{name}==" in requirements


def test_an_array_is_an_example_too(log, client, linear, iris):
    x = np.asarray(iris[0])
    assert client.get_logged_model(log(type(linear)(max_iter=500).fit(x, iris[1]), x)).status == "READY"


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(n_estimators=3),
        KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
        KNeighborsClassifier(),
        SVC(probability=False),
        MLPClassifier(max_iter=3, solver="lbfgs"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_usual_families_are_kept(log, client, iris, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three rounds do not converge
        model.fit(*iris)
    assert client.get_logged_model(log(model, iris[0])).status == "READY"


def test_a_model_that_skops_does_not_trust_is_refused_by_name(log, iris, linear):
    model = make_pipeline(FunctionTransformer(unchanged), linear).fit(*iris)
    with pytest.raises(ModelNotLoggable, match=r"Pipeline cannot be kept by skops.*\bunchanged\b"):
        log(model, iris[0])


def unchanged(table):
    """A function of somebody's own, which skops knows nothing of."""
    return table
