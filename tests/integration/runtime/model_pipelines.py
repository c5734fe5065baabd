"""Stages with tables and models, apart from the others: what they import takes workers seconds to load."""

from __future__ import annotations

from typing import NamedTuple

import mlflow
import pandas as pd
from runtime_pipelines import add, number, numbers  # type: ignore[import-not-found]
from sklearn.linear_model import LinearRegression

from orchestrator import Retry, context, pipeline, stage


class Parts(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


@stage
def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"x": range(rows), "y": [2.0 * row for row in range(rows)]})


@stage
def split(frame: pd.DataFrame) -> Parts:
    return Parts(frame.iloc[::2], frame.iloc[1::2])


@stage(queue="training", retry=Retry(on=(OSError,), times=2, backoff=0.1))
def train(frame: pd.DataFrame, flaky: bool = False) -> LinearRegression:
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    context.log_metric("slope", float(model.coef_[0]))
    mlflow.log_metric("plain", 1.0)
    context.log_model(model, example=frame[["x"]].head(2))
    if flaky and context.attempt == 1:
        raise OSError("after everything was logged")
    return model


@stage
def error_of(model: LinearRegression, frame: pd.DataFrame) -> float:
    return float(abs(model.predict(frame[["x"]]) - frame["y"]).max())


@stage
def all_rows(frames: list[pd.DataFrame]) -> int:
    return sum(map(len, frames))


@pipeline
def empty_maps(values: list[int], after: int = 1) -> None:
    """Maps without items, known before the run and not: before a fan-in, a map, in a join, and at the end."""
    known = number.map(value=values)
    unknown = number.map(value=numbers(len(values)))
    add([add(known), add(number.map(value=unknown)), all_rows(table.map(rows=unknown)), number(after)])
    number.after(unknown).map(value=known)


@pipeline
def learn(flaky: bool = False, rows: int = 10) -> None:
    parts = split(table(rows))
    error_of(train(parts.train, flaky), parts.test)


@stage(queue="training", tolerate=0.5)
def trial(number: int) -> int:
    if number % 3 == 1:
        context.log_metrics({"number": number})
    if number == 4:
        raise ValueError("the fourth is bad")
    return number


@pipeline
def trials(count: int = 6) -> None:
    all_of(trial.map(number=list(range(count))))


@stage
def all_of(numbers: list[int]) -> int:
    return len(numbers)
