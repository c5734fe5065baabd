"""The tabular pipeline on real tables, and on one with gaps, text and dates."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from orchestrator import InvalidData
from orchestrator.errors import OrchestratorError
from pipelines.tabular import propose, tabular
from pipelines.tabular.columns import Layout, lay_out
from pipelines.tabular.naming import is_model_name, model_name
from pipelines.tabular.preparing import prepare_inputs
from pipelines.tabular.reading import read_table
from workers import deployment
from workers.training import Examples

RunPipeline = Callable[..., dict[str, Any]]

REAL_TABLES = {
    "breast cancer": pytest.param(load_breast_cancer, "classification", 0.9, marks=pytest.mark.slow),
    "wine": pytest.param(load_wine, "classification", 0.9, marks=pytest.mark.slow),
    "diabetes": (load_diabetes, "regression", 0.3),
}


def customers(rows: int = 240) -> pd.DataFrame:
    """A made-up table with gaps, text, dates, an id and a constant."""
    chance = np.random.default_rng(0)
    joined = pd.Timestamp("2018-01-01") + pd.to_timedelta(chance.integers(0, 2000, rows), unit="D")
    table = pd.DataFrame(
        {
            "customer": [f"c-{number:05}" for number in chance.permutation(rows)],
            "age": chance.normal(40, 10, rows).round(1),
            "city": chance.choice(["Rome", "Oslo", "Lima"], rows),
            "joined": joined,
            "planet": "Earth",
        }
    )
    table["churned"] = np.where((table["age"] > 42) ^ (table["city"] == "Rome"), "yes", "no")
    for column, gaps in {"age": 25, "city": 25, "joined": 8, "churned": 5}.items():
        table.loc[chance.choice(rows, gaps, replace=False), column] = None
    return table


@pytest.mark.parametrize(("load", "task", "least"), REAL_TABLES.values(), ids=REAL_TABLES)
def test_a_real_table_gets_a_promoted_model(
    run_pipeline: RunPipeline, tmp_path: Path, load: Callable[..., Any], task: str, least: float
) -> None:
    file = tmp_path / "real.csv"
    load(as_frame=True).frame.to_csv(file, index=False)
    run = run_pipeline(tabular, data=file, target="target", folds=3)
    assert run["describe"].task == task
    assert run["evaluate"].score >= least > run["baseline"].score
    assert run["verify"].name == "real-target"


def test_gaps_text_and_dates_are_prepared(run_pipeline: RunPipeline, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    customers().to_csv(file, index=False)
    run = run_pipeline(tabular, data=file, target="churned", folds=3, model="churn")

    layout = run["describe"]
    assert layout.kinds == {"age": "number", "city": "category", "joined": "date"}
    assert set(layout.left_out) == {"customer", "planet"}
    assert run["check"].report.missing_target == 5
    assert run["evaluate"].score > 0.75
    assert run["verify"].name == "churn"

    kept = mlflow.artifacts.load_text(f"runs:/{run['register'].source_run}/layout.json")
    unseen = prepare_inputs(read_table(file).assign(city="Quito"), Layout(**json.loads(kept)))
    assert set(deployment.load_model("churn").predict(unseen)) <= {"yes", "no"}


def test_the_same_table_as_parquet_is_laid_out_the_same(tmp_path: Path) -> None:
    customers().to_csv(tmp_path / "customers.csv", index=False)
    customers().to_parquet(tmp_path / "customers.parquet")
    csv, parquet = (read_table(tmp_path / f"customers.{form}") for form in ("csv", "parquet"))
    layout = lay_out(csv, "churned")
    assert lay_out(parquet, "churned") == layout
    pd.testing.assert_frame_equal(prepare_inputs(csv, layout), prepare_inputs(parquet, layout))


def test_a_model_that_learnt_nothing_is_not_promoted(run_pipeline: RunPipeline, tmp_path: Path) -> None:
    file = tmp_path / "noise.csv"
    chance = np.random.default_rng(1)
    pd.DataFrame({"x": chance.normal(size=80), "y": chance.normal(size=80)}).to_csv(file, index=False)
    run = run_pipeline(tabular, data=file, target="y", folds=3, minimum_score=0.2)
    assert not run["gate"].passed
    assert "promote" not in run


def test_a_bad_file_stops_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="there is no file"):
        tabular.run_locally(data=tmp_path / "none.csv", target="y")


def test_file_and_target_are_asked_for() -> None:
    with pytest.raises(OrchestratorError, match=r"'data' is missing.*'target' is missing"):
        tabular.parse({})


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(OrchestratorError, match="task='clustering'"):
        tabular.parse({"data": "a.csv", "target": "y", "task": "clustering"})


def test_large_tables_leave_out_what_scales_badly_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.tabular.MANY_ROWS", 5)
    train = Examples(pd.DataFrame({"x": range(6)}), pd.Series(range(6)))
    proposal = propose(train, "regression")
    assert {each.family for each in proposal.candidates} == {"linear", "boosting"}
    (note,) = proposal.notes
    assert note == "Not tried, since their time grows faster than the rows (6): forest and neighbours"


def test_how_many_models_are_tried_is_known_only_during_the_run() -> None:
    graph = tabular.graph(data=Path("a.csv"), target="y")
    assert graph["score"].known_length is None


def test_a_model_is_named_after_file_and_target() -> None:
    assert model_name(Path("/tables/Houses 2024.csv"), "price") == "houses-2024-price"
    assert model_name(Path("данные.csv"), "цена") == "данные-цена"


def test_two_targets_of_a_file_never_share_a_model() -> None:
    targets = [
        "price",
        "Price",
        "Price (€)",
        "Price ($)",
        "sale price",
        "sale-price",
        "цена",
        "вес",
        "€",
        "$",
    ]
    targets += ["x" * 300, "x" * 301]
    names = {model_name(Path("Größe?.csv"), target) for target in targets}
    assert len(names) == len(targets)
    assert all(map(is_model_name, names))
    assert is_model_name(model_name(Path("---.csv"), "€"))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"model": "team/houses"}, "model='team/houses': a model's name has up to 200 letters"),
        ({"model": ""}, "model=''"),
        ({"model": "a:b"}, "model='a:b'"),
        ({"model": "it's"}, "a model's name has"),
        ({"folds": 1}, "folds=1: at least 2 are needed"),
        ({"test_fraction": 1.0}, "test_fraction=1.0: it is a share of the rows"),
    ],
)
def test_what_cannot_work_is_refused_before_the_run(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(OrchestratorError) as caught:
        tabular.graph(data=Path("a.csv"), target="y", **settings)
    assert line in str(caught.value)
