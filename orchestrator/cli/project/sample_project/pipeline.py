"""Which customers will leave? From the table in `data/` to a model that passes a gate.

    load → add_features → split ┬ fit × 3 → best ┐
                                └────────────────┴ evaluate → good_enough

Each function under `@stage` runs on a worker of its queue. The pipeline at the end ties them together.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from orchestrator import InvalidData, Retry, context, pipeline, stage

TARGET = "left"
COLUMNS = ("months", "price", "calls", "yearly_contract", TARGET)


class Parts(NamedTuple):
    """The customers to learn from, and those that the model is measured on."""

    train: pd.DataFrame
    test: pd.DataFrame


class Candidate(NamedTuple):
    """A fitted model, and how it did in cross-validation."""

    model: Pipeline
    strength: float  #: of the regularisation; higher is weaker, as `C` in scikit-learn
    accuracy: float


class Report(NamedTuple):
    """Shares of customers that were foretold rightly, from 0 to 1."""

    accuracy: float
    baseline: float  #: of always saying what is most frequent


class Result(NamedTuple):
    """What a run returns."""

    model: Pipeline
    report: Report
    accepted: bool


@stage(retry=Retry(on=(OSError,), times=3, backoff=2.0))  # tried again after 2, 4 and 8 s
def load(path: Path) -> pd.DataFrame:
    """The customers, one row each. The path is relative to the folder in which a worker was started."""
    customers = pd.read_csv(path)
    if missing := [name for name in COLUMNS if name not in customers]:
        raise InvalidData(f"{path} has no column {', '.join(missing)}")
    return customers[list(COLUMNS)]


@stage
def add_features(customers: pd.DataFrame) -> pd.DataFrame:
    """Add what a customer has paid so far, and how often a month he called."""
    return customers.assign(
        paid=customers["months"] * customers["price"],
        calls_a_month=customers["calls"] / customers["months"],
    )


@stage
def split(customers: pd.DataFrame, test_fraction: float, seed: int) -> Parts:
    """Hold a share of the customers back, with the same share of leavers in both parts."""
    train, test = train_test_split(
        customers, test_size=test_fraction, random_state=seed, stratify=customers[TARGET]
    )
    return Parts(train, test)


@stage(queue="training", time_limit=600)
def fit(train: pd.DataFrame, strength: float) -> Candidate:
    """Cross-validate one model, and fit it on all of the training part."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    inputs, target = train.drop(columns=TARGET), train[TARGET]
    accuracy = float(cross_val_score(model, inputs, target, cv=5).mean())
    context.log_params({"strength": strength})
    context.log_metric("accuracy", accuracy)  # in this node's MLflow run
    return Candidate(model.fit(inputs, target), strength, accuracy)


@stage(queue="training")
def best(candidates: list[Candidate]) -> Candidate:
    """The candidate that did best in cross-validation."""
    return max(candidates, key=lambda each: each.accuracy)


@stage(queue="training")
def evaluate(candidate: Candidate, test: pd.DataFrame) -> Report:
    """Measure the model on customers that it has not seen."""
    target = test[TARGET]
    accuracy = float(candidate.model.score(test.drop(columns=TARGET), target))
    report = Report(accuracy, baseline=float(target.value_counts(normalize=True).max()))
    context.log_metrics({"accuracy": report.accuracy, "baseline": report.baseline})
    return report


@stage
def good_enough(report: Report, margin: float) -> bool:
    """The gate: whether the model beats the baseline by the margin."""
    return report.accuracy >= report.baseline + margin


@pipeline
def sample_project(
    path: Path = Path("data/customers.csv"),
    test_fraction: float = 0.25,
    margin: float = 0.05,
    seed: int = 0,
) -> Result:
    """Find out which customers will leave, and whether the model is worth having."""
    parts = split(add_features(load(path)), test_fraction, seed)
    winner = best(fit.partial(train=parts.train).map(strength=[0.01, 0.1, 1.0]))
    report = evaluate(winner, parts.test)
    return Result(winner.model, report, good_enough(report, margin))
