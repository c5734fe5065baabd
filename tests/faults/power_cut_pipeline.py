"""The pipeline that loses its power: a map, a retry, dear work, something done outside once, two models.

Each call leaves lines in a file of its node outside of the home, which no power cut touches.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pandas as pd
from sklearn.linear_model import LinearRegression

from orchestrator import Retry, context, pipeline, stage

#: Where the calls are noted, one folder per run.
CALLS = "POWER_CUTS_CALLS"


def note(what: str) -> None:
    folder = Path(os.environ[CALLS]) / context.run
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / context.node).open("a") as file:
        file.write(f"{what}\n")


def work() -> None:
    """Take 20 to 150 ms, by the node's name."""
    note("called")
    time.sleep(random.Random(context.node).uniform(0.02, 0.15))


@stage
def extract(count: int) -> list[int]:
    work()
    return list(range(count))


@stage(retry=Retry(on=(ConnectionError,), times=2, backoff=0.1))
def flaky(values: list[int]) -> int:
    work()
    if context.attempt == 1:
        raise ConnectionError("not ready at the first attempt")
    return sum(values) + 1


@stage
def part(value: int) -> int:
    work()
    return 2 * value


@stage
def dear(values: list[int]) -> int:
    work()
    time.sleep(1.1)  # more than a second: what comes of it is flushed
    return sum(values)


@stage
def announce(total: int) -> str:
    work()

    def act() -> str:
        note("acted")
        return f"ticket for {total}"

    ticket = context.once("ticket", act)
    note("kept")
    return ticket


@stage(queue="training")
def fit(slope: int) -> int:
    frame = pd.DataFrame({"x": range(10), "y": [slope * x for x in range(10)]})
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    context.log_metric("slope", float(model.coef_[0]))
    context.log_model(model, example=frame[["x"]].head(2))
    work()
    return round(model.coef_[0])


@stage
def report(found: list[int], ticket: str, parts: list[int]) -> int:
    work()
    return sum(found) + sum(parts) + len(ticket)


@pipeline
def interrupted(count: int = 5) -> None:
    """A run-time map and a written-out one, a chord, two models, one end."""
    values = extract(count)
    parts = part.map(value=values)
    first = flaky(values)
    total = dear(parts)
    ticket = announce(first)
    few = part.map(value=[10, 20])
    report([fit(first), fit(total)], ticket, few)
