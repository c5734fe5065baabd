"""A team's own pipelines, mounted into the stack: stages that take their time on machines that are hit."""

from __future__ import annotations

import os
import time

import pandas as pd
import roman  # built in by EXTRA_PACKAGES
from sklearn.linear_model import LinearRegression

from orchestrator import context, pipeline, stage


@stage
def count_off(count: int) -> list[int]:
    return list(range(count))


@stage(queue="training")
def nap(index: int, seconds: float) -> int:
    print(f"nap {index} begins")
    time.sleep(seconds)
    context.log_metric("index", index)
    return index * index


@stage
def total(values: list[int]) -> int:
    return sum(values)


@pipeline
def naps(count: int = 6, seconds: float = 4.0) -> None:
    """A fan-out whose length is known at run time, one item a slot."""
    total(nap.partial(seconds=seconds).map(index=count_off(count)))


@stage(queue="training")
def fit(seconds: float) -> float:
    """The slope of a straight line, found slowly."""
    frame = pd.DataFrame({"x": range(10), "y": [3 * x for x in range(10)]})
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    time.sleep(seconds)
    context.log_model(model, example=frame[["x"]].head(2))
    return round(float(model.coef_[0]), 6)


@stage
def report(slope: float) -> str:
    return roman.toRoman(round(slope))


@pipeline
def slow_fit(seconds: float = 8.0) -> None:
    """One long stage that logs a model."""
    report(fit(seconds))


@stage(queue="training")
def threads() -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: os.environ.get(name, "") for name in names}


@pipeline
def look_around() -> None:
    """What a stage finds where it runs."""
    threads()


@stage
def surroundings() -> dict[str, str]:
    return dict(os.environ)


@pipeline
def seen_by_stages() -> None:
    """What a stage finds in its environment, as its result."""
    surroundings()
