"""Pipelines that log, register and promote, and stop at gates until the test lets them go on."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.linear_model import LinearRegression

from orchestrator import Retry, context, pipeline, stage
from pipelines.release import gate, promote, register, verify
from workers import deployment
from workers.deployment import ModelVersion, Promotion
from workers.training import Examples, Fitted, Report


class Evaluation(NamedTuple):
    test: Examples
    report: Report


def pass_gate(folder: Path, name: str) -> None:
    """Say that somebody is at a gate, and wait until it is open."""
    note(folder, f"{name} at gate")
    while not (folder / name).exists():
        time.sleep(0.02)


def note(folder: Path, text: str) -> None:
    with (folder / "notes").open("a") as file:
        file.write(f"{text} {os.getpid()}\n")


@stage(queue="training")
def fit(folder: Path) -> Fitted:
    """Log before and behind a gate."""
    note(folder, "fit called")
    context.log_param("depth", 3)
    context.log_metric("loss", 1.0, 0)
    pass_gate(folder, "fit")
    context.log_metric("loss", 0.5, 1)
    context.log_text("all is well", "note.txt")
    rows = pd.DataFrame({"x": range(10)})
    model = LinearRegression().fit(rows, [2.0 * row for row in range(10)])
    return Fitted(model, context.log_model(model, example=rows))


@stage
def judged(fitted: Fitted) -> Evaluation:
    rows = pd.DataFrame({"x": range(10, 15)})
    test = Examples(rows, 2.0 * rows["x"])
    return Evaluation(test, Report("r2", float(fitted.model.score(*test)), {}, len(rows)))


@pipeline
def release(folder: Path, name: str = "release") -> None:
    """From a fit to a promoted model."""
    fitted = fit(folder)
    judgement = judged(fitted)
    verdict = gate(name, judgement.report, judgement.test, 0.5)
    version = register.only_if(verdict.passed)(name, fitted.uri, judgement.report)
    verify(promote(version), fitted.model, judgement.test.inputs)


@pipeline
def alone(folder: Path) -> None:
    """A fit, and nothing behind it."""
    fit(folder)


@stage
def wait(folder: Path, name: str) -> None:
    pass_gate(folder, name)


@pipeline
def two_fits(folder: Path) -> None:
    """Two fits, with a gate behind each."""
    between = wait.after(fit(folder))(folder, "between")
    wait.after(fit.after(between)(folder))(folder, "last")


@stage(queue="training")
def trial(number: int) -> bool:
    """Log a metric; return whether this process has imported MLflow."""
    context.log_metric("loss", 1.0 / (number + 1))
    return "mlflow" in sys.modules


@stage
def any_of(values: list[bool]) -> bool:
    return any(values)


@pipeline
def trials(folder: Path, count: int = 12) -> None:
    """Short trials, and a gate behind them."""
    wait.after(any_of(trial.map(number=list(range(count)))))(folder, "end")


@stage(queue="deployment")
def promote_slowly(folder: Path, version: ModelVersion) -> Promotion:
    pass_gate(folder, "promote")
    return deployment.promote(version)


@pipeline
def slow_release(folder: Path, name: str = "slow") -> None:
    """A release that can be held up before the alias moves."""
    fitted = fit(folder)
    judgement = judged(fitted)
    promote_slowly(folder, register(name, fitted.uri, judgement.report))


@stage(retry=Retry(on=(OSError,), times=2, backoff=0.1))
def announce(folder: Path) -> str:
    """Open one ticket, whatever happens afterwards."""

    def open_ticket() -> str:
        note(folder, f"ticket {context.idempotency_key}")
        return f"ticket-{context.attempt}"

    ticket = context.once("ticket", open_ticket)
    if context.attempt < 3:
        raise OSError("the line went dead after the ticket was opened")
    return ticket


@pipeline
def announcing(folder: Path) -> None:
    announce(folder)
