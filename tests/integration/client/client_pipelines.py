"""Pipelines whose results are read back by the client."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.linear_model import LinearRegression

from orchestrator import pipeline, stage


class Halves(NamedTuple):
    first: pd.DataFrame
    second: pd.DataFrame


class Trained(NamedTuple):
    model: LinearRegression
    score: float
    notes: str | None


@stage
def table(rows: int) -> pd.DataFrame:
    print(f"making {rows} rows")
    return pd.DataFrame({"x": range(rows), "y": [2.0 * x for x in range(rows)]})


@stage
def halve(rows: pd.DataFrame) -> Halves:
    middle = len(rows) // 2
    return Halves(rows[:middle], rows[middle:].reset_index(drop=True))


@stage
def fit(rows: pd.DataFrame) -> LinearRegression:
    return LinearRegression().fit(rows[["x"]], rows["y"])


@stage
def score(model: LinearRegression, rows: pd.DataFrame) -> float:
    return float(model.score(rows[["x"]], rows["y"]))


@stage
def good_enough(value: float, least: float) -> bool:
    return value >= least


@stage
def describe(value: float) -> str:
    return f"R² {value:.2f}"


@pipeline
def trained(rows: int = 10, least: float = 0.5) -> Trained:
    """Fit a line, and say how good it is."""
    halves = halve(table(rows))
    model = fit(halves.first)
    value = score(model, halves.second)
    notes = describe.only_if(good_enough(value, least))(value)
    return Trained(model, value, notes)


@stage
def square(number: int) -> int:
    return number * number


@stage
def total(numbers: list[int]) -> int:
    return sum(numbers)


@pipeline
def squares(numbers: list[int] = [1, 2, 3]) -> list[int]:  # noqa: B006 - a pipeline's default is never changed
    squared = square.map(number=numbers)
    total(squared)
    return squared


@stage
def by_year() -> dict[str, list[int]]:
    return {"2024": [1, 2]}


@pipeline
def yearly() -> dict[str, list[int]]:
    return by_year()


@stage
def ask(api_key: str) -> int:
    return len(api_key)


@pipeline
def keyed(api_key: str = "abcdefgh") -> int:
    return ask(api_key)


@stage
def many(count: int) -> list[int]:
    return list(range(count))


@stage
def each(number: int) -> int:
    return number


@pipeline
def counted(count: int) -> list[int]:
    return each.map(number=many(count))


@pipeline
def ragged() -> list[list[int]]:
    return counted.map(count=[2, 0, 1])


@stage
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@pipeline
def napping(seconds: float = 60.0) -> str:
    return nap(seconds)


@stage
def break_down() -> str:
    raise ValueError("this cannot work")


@stage
def mend(broken: str) -> str:
    return broken


@pipeline
def broken() -> str:
    return mend(break_down())


@stage
def write_file(text: str) -> Path:
    file = Path(tempfile.mkdtemp()) / "report.txt"
    file.write_text(text)
    return file


@pipeline
def report(text: str = "all is well") -> Path:
    return write_file(text)
