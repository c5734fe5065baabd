"""The pipeline that the faults hit: twelve nodes with two fan-outs, a chord, a wait and two models."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pandas as pd
from sklearn.linear_model import LinearRegression

from orchestrator import context, pipeline, stage


def work() -> None:
    """Take 50 to 300 ms, by the node's name, and leave a line in the node's own file."""
    time.sleep(random.Random(context.node).uniform(0.05, 0.3))
    folder = Path(os.environ["ORCHESTRATOR_HOME"]) / "executions" / context.run
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / context.node).open("a") as file:
        file.write(f"attempt {context.attempt} in process {os.getpid()}\n")


@stage
def extract(count: int) -> list[int]:
    work()
    return list(range(count))


@stage
def step(before: list[int]) -> int:
    work()
    return sum(before) + 1


@stage
def part(value: int) -> int:
    work()
    return 2 * value


@stage(queue="training")
def fit(slope: int) -> int:
    frame = pd.DataFrame({"x": range(10), "y": [slope * x for x in range(10)]})
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    context.log_metric("slope", float(model.coef_[0]))
    context.log_model(model, example=frame[["x"]].head(2))
    work()
    return round(model.coef_[0])


@stage
def report(found: list[int], parts: list[int]) -> int:
    work()
    return sum(found) + sum(parts)


@pipeline
def twelve(count: int = 6) -> None:
    """A run-time map and a written-out one, a chord, a node that waits, two models, one end."""
    values = extract(count)
    first = step([1])
    left, right = step([first]), step([first])
    joined = step([left, right])
    total = step(part.map(value=values))
    both = step([right, total])
    few = part.map(value=[10, 20, 30])
    report([fit(total), fit(joined), both], few)
