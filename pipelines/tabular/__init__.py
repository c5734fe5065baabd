"""Your own table: from a CSV or Parquet file to a promoted model, with no code to write.

    orchestrator run tabular -p data=houses.csv -p target=price

    read → describe → check → prepare → hold_out ┬ propose → score × n → halve → score × n/2 → select ┐
                                                 │               evaluate ← refit ←───────────────────┘
                                                 └ baseline ────────┐   │
                                 verify ← promote ← register ← gate ←┘

Candidates are tried on few rows, the better half of them on more (successive halving), and the best is fitted
on all. What the columns hold, whether classes or amounts are to be predicted, and which models
are worth a try is found out on the way; `summary` tells what had to be assumed, and what was left out. The
modules behind the stages: `reading`, `columns`, `checks`, `splitting`, `preparing`, and `workers.training`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from orchestrator import Retry, context, pipeline, stage
from pipelines.release import Released, gate, promote, register, verify
from pipelines.tabular.checks import Checked, CheckReport, Duplicates, check_table
from pipelines.tabular.columns import Layout, dates_of, lay_out
from pipelines.tabular.conventions import DayOrder
from pipelines.tabular.naming import model_name, require_settings
from pipelines.tabular.numbers import Decimal
from pipelines.tabular.preparing import prepare_examples
from pipelines.tabular.reading import Source, read_source, require_column
from pipelines.tabular.splitting import Split, choose_split
from pipelines.tabular.summary import summary_of
from workers.training import (
    Candidate,
    Division,
    Examples,
    Fitted,
    Parts,
    Report,
    Scored,
    Task,
    better_half,
    build,
    cross_validate,
    divide,
    fit_aloud,
    grid,
    guesser,
    judge,
    leader,
    sample,
    standings,
    with_encoder,
)

MANY_ROWS = 20_000  #: above, families are left out whose time grows faster than the rows
SCREENED, SCORED = 4_000, 20_000  #: rows that all candidates are tried on, and then the better half
SCREENING_FOLDS = 3  #: at most, for the first of these rounds, which only has to tell good from bad


class Prepared(NamedTuple):
    """Examples, how they are to be divided, and in sentences why so."""

    examples: Examples
    by: Division
    notes: list[str]


class Proposal(NamedTuple):
    """Candidates, and in sentences which ones are not among them."""

    candidates: list[Candidate]
    notes: list[str]


@stage(retry=Retry(on=(OSError,), times=3, backoff=1.0))
def read(data: Path, target: str, encoding: str = "auto", group: str | None = None) -> Source:
    """The table in the file; stops the run if there is none, or none with the columns that were named."""
    source = read_source(data, encoding)
    for column in (target, group) if group else (target,):
        require_column(source.table, column, data)
    return source


@stage
def describe(
    table: pd.DataFrame,
    target: str,
    task: Task | Literal["auto"],
    decimal: Decimal | Literal["auto"],
    day_order: DayOrder,
    group: str | None,
) -> Layout:
    """What each column holds, which ones to learn from, and the task that the target poses."""
    return lay_out(table, target, task, decimal, day_order, group)


@stage
def check(
    table: pd.DataFrame, layout: Layout, test_fraction: float, folds: int, duplicates: Duplicates
) -> Checked:
    """Leave out the rows that cannot be used; stops the run where the result would be meaningless."""
    return check_table(table, layout, test_fraction=test_fraction, folds=folds, duplicates=duplicates)


@stage
def summary(notes: list[str], divided: list[str], proposed: list[str], report: CheckReport) -> list[str]:
    """What became of the file's rows and columns, in sentences for the run's results."""
    notes = [*divided, *proposed, *notes]
    print("\n".join([*report.lines(), *notes]))
    return summary_of([*report.lines()[:1], *notes, *report.lines()[1:]])


@stage
def prepare(
    table: pd.DataFrame, layout: Layout, split: Split, group: str | None, test_fraction: float, folds: int
) -> Prepared:
    """Numbers as numbers, categories as text, each date as several numbers; ready to be divided."""
    dates = dates_of(table, layout)
    splitting = choose_split(table, layout, dates, split, group, folds=folds, test_fraction=test_fraction)
    return Prepared(splitting.of(prepare_examples(table, layout, dates)), splitting.by, [*splitting.notes])


@stage
def hold_out(examples: Examples, task: Task, test_fraction: float, by: Division, seed: int) -> Parts:
    """Hold a share of the rows back, for the evaluation."""
    return divide(examples, test_fraction, seed=seed, stratify=task == "classification", by=by)


@stage
def propose(train: Examples, task: Task) -> Proposal:
    """The models worth a try for this task and so many rows."""
    candidates = [
        *grid("linear", **{"C" if task == "classification" else "alpha": [0.1, 1.0, 10.0]}),
        *grid("boosting", learning_rate=[0.1]),
        *grid("boosting", learning_rate=[0.05], max_iter=[200]),
    ]
    slow = [*grid("forest", min_samples_leaf=[1, 5]), *grid("neighbours", n_neighbors=[5, 15])]
    if len(train.inputs) <= MANY_ROWS:
        return Proposal([*candidates, *slow], [])
    names, rows = " and ".join(dict.fromkeys(each.family for each in slow)), f"{len(train.inputs):,}"
    return Proposal(candidates, [f"Not tried, since their time grows faster than the rows ({rows}): {names}"])


@stage
def take(train: Examples, rows: int, task: Task, seed: int) -> Examples:
    """At most so many of the rows, to choose a candidate by."""
    return sample(train, rows, seed=seed, stratify=task == "classification")


@stage(queue="training")
def halve(screened: list[Scored]) -> list[Candidate]:
    """The candidates that are worth a try on more rows."""
    context.log_text(standings(screened), "standings.md")
    return better_half(screened)


@stage(queue="training")
def score(candidate: Candidate, train: Examples, task: Task, folds: int, seed: int, by: Division) -> Scored:
    """Cross-validate one candidate."""
    context.log_params(candidate.parameters)
    model = model_for(train, candidate, task, seed)
    scored = cross_validate(candidate, model, train, folds=folds, seed=seed, task=task, by=by)
    context.log_metrics({scored.measure: scored.mean, f"{scored.measure}_spread": scored.spread})
    return scored


@stage(queue="training")
def select(scored: list[Scored]) -> Candidate:
    """The candidate that did best over all folds."""
    best = leader(scored)
    context.log_text(standings(scored), "standings.md")
    context.log_metric(best.measure, best.mean)
    return best.candidate


@stage(queue="training")
def refit(candidate: Candidate, train: Examples, layout: Layout, seed: int) -> Fitted:
    """Fit the chosen candidate on the whole training part, and log the model with the layout it is for."""
    context.log_params(candidate.parameters)
    context.log_text(json.dumps(asdict(layout), indent=2), "layout.json")
    model = fit_aloud(model_for(train, candidate, layout.task, seed), train)
    return Fitted(model, context.log_model(model, example=train.inputs.head()))


@stage(queue="training")
def baseline(parts: Parts, task: Task) -> Report:
    """How a guess does, that looks at no column: what every model has to beat."""
    guess = guesser(task).fit(parts.train.inputs, parts.train.target)
    return measured(guess, parts.test, task)


@stage(queue="training")
def evaluate(fitted: Fitted, test: Examples, task: Task) -> Report:
    """Measure the model on the rows that were held back."""
    return measured(fitted.model, test, task)


def model_for(train: Examples, candidate: Candidate, task: Task, seed: int) -> Pipeline:
    """The candidate, behind an encoder for the columns that it will see."""
    return with_encoder(build(candidate, task=task, seed=seed), train.inputs)


def measured(model: BaseEstimator, test: Examples, task: Task) -> Report:
    """The model's report, logged."""
    report = judge(model, test, task=task)
    context.log_metrics(report.measures)
    return report


@pipeline
def tabular(
    data: Path,
    target: str,
    task: Task | Literal["auto"] = "auto",
    model: str | None = None,
    test_fraction: float = 0.25,
    folds: int = 5,
    seed: int = 0,
    split: Split = "auto",
    group: str | None = None,
    duplicates: Duplicates = "drop",
    encoding: str = "auto",
    decimal: Decimal | Literal["auto"] = "auto",
    day_order: DayOrder = "auto",
    minimum_score: float = 0.0,
    margin: float = 0.001,
) -> Released:
    """Train a model of your own CSV or Parquet file, and deploy it if it beats the champion.

    Classes are judged by balanced accuracy, amounts by R². The model is promoted if it beats a guess by two
    standard errors, reaches `minimum_score`, and beats the champion of its name by at least `margin` on the
    same rows. `model` is that name; by default it is made of the file's and the target's.

    Rows are held back, and folds made, at random; where they are ordered by a date, the latest are held back,
    and with `group` all rows that have the same value in that column stay together.

    Args:
        data: a CSV or Parquet file
        target: the column to predict
        task: whether classes or amounts are predicted; found out where it is open
        model: name in the registry; made of the file's and the target's where none is given
        test_fraction: share of the rows that is held back for the evaluation
        folds: of the cross-validation
        seed: of the split, the folds and the models
        split: which rows are held back: at random, the latest, or whole groups
        group: a column whose rows of the same value stay together
        duplicates: whether rows that occur twice are dropped
        encoding: of the file's text
        decimal: the sign before decimals, where the file leaves that open
        day_order: of its dates, where it leaves that open
        minimum_score: that a model must reach to be promoted
        margin: by which it must beat the champion
    """
    name = model_name(data, target) if model is None else model
    require_settings(name, target, folds=folds, test_fraction=test_fraction, split=split, group=group)
    source = read(data.expanduser().absolute(), target, encoding, group)
    layout = describe(source.table, target, task, decimal, day_order, group)
    checked = check(source.table, layout, test_fraction, folds, duplicates)
    prepared = prepare(checked.table, layout, split, group, test_fraction, folds)
    parts = hold_out(prepared.examples, layout.task, test_fraction, prepared.by, seed)
    guess = baseline(parts, layout.task)

    proposal = propose(parts.train, layout.task)
    summary(source.notes, prepared.notes, proposal.notes, checked.report)
    few, more = (take(parts.train, rows, layout.task, seed) for rows in (SCREENED, SCORED))
    on_few, on_more = (
        score.partial(train=rows, task=layout.task, folds=number, seed=seed, by=prepared.by)
        for rows, number in ((few, min(folds, SCREENING_FOLDS)), (more, folds))
    )
    better = halve(on_few.map(candidate=proposal.candidates))
    fitted = refit(select(on_more.map(candidate=better)), parts.train, layout, seed)
    report = evaluate(fitted, parts.test, layout.task)

    verdict = gate(name, report, parts.test, minimum_score, margin, baseline=guess.score)
    version = register.only_if(verdict.passed)(name, fitted.uri, report)
    verify(promote(version), fitted.model, parts.test.inputs)
    return Released(fitted.model, report, verdict)
