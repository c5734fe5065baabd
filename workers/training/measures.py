"""Measures of how good a model is, by task, and the report that a gate reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer

from workers.training.tables import Examples

Task: TypeAlias = Literal["classification", "regression"]

#: Measures of each task, by the name they are logged under: scikit-learn's scorer, and what turns its value
#: (always the higher, the better) into the measure's usual sign. The first decides.
_SCORERS: dict[Task, dict[str, tuple[str, int]]] = {
    "classification": {
        "balanced_accuracy": ("balanced_accuracy", 1),
        "accuracy": ("accuracy", 1),
        "macro_f1": ("f1_macro", 1),
    },
    "regression": {
        "r2": ("r2", 1),
        "mae": ("neg_mean_absolute_error", -1),
        "rmse": ("neg_root_mean_squared_error", -1),
    },
}
_BINARY = {"roc_auc": ("roc_auc", 1)}


@dataclass(frozen=True)
class Report:
    """How a model did on rows that it has not seen."""

    measure: str  #: the measure that decides
    score: float  #: its value; the higher, the better
    measures: dict[str, float]  #: all measures of the task, that one included
    rows: int  #: how many rows it was judged on


def main_measure(task: Task) -> str:
    """The measure that decides unless a pipeline says otherwise.

    Balanced accuracy (the share of each class that is recognised, averaged) is fair where classes differ in
    size; R² is the share of the target's variance that the model explains.
    """
    return next(iter(_SCORERS[task]))


def judge(
    model: BaseEstimator, examples: Examples, *, task: Task = "classification", measure: str | None = None
) -> Report:
    """Measure a fitted model on examples that it has not seen; `measure` is the one that decides."""
    scorers = dict(_SCORERS[task])
    if task == "classification" and examples.target.nunique() == len(model.classes_) == 2:
        scorers |= _BINARY
    measures = {
        name: sign * float(get_scorer(scorer)(model, examples.inputs, examples.target))
        for name, (scorer, sign) in scorers.items()
    }
    measure = measure or main_measure(task)
    return Report(measure, measures[measure], measures, len(examples.target))
