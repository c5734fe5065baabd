"""Measures of model quality, by task, and the report that a gate reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.metrics import average_precision_score, check_scoring, get_scorer, make_scorer

from workers.training.tables import Examples

Task: TypeAlias = Literal["classification", "regression"]

#: Measures of each task, by logged name: scikit-learn's scorer, and the factor that converts its value
#: (higher is always better) to the measure's usual sign. The first is the main measure.
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
_ERROR = "standard error"  #: computed from the same predictions as the measures


@dataclass(frozen=True)
class Report:
    """A model's scores on unseen rows."""

    measure: str  #: name of the main measure
    score: float  #: its value; higher is better
    measures: dict[str, float]  #: all measures of the task, including the main one
    rows: int  #: number of rows it was measured on
    error: float = 0.0  #: standard error of the score; 0 if unknown


def main_measure(task: Task) -> str:
    """Return the default main measure of a task.

    Balanced accuracy (the mean recall of all classes) is fair for classes of different sizes; R² is the share
    of the target's variance that the model explains.
    """
    return next(iter(_SCORERS[task]))


def judge(
    model: BaseEstimator, examples: Examples, *, task: Task = "classification", measure: str | None = None
) -> Report:
    """Measure a fitted model on unseen examples; `measure` is the main measure."""
    measure = measure or main_measure(task)
    chosen = dict(_SCORERS[task])
    if task == "classification" and examples.target.nunique() == len(model.classes_) == 2:
        chosen |= _BINARY
    scorers = {name: get_scorer(scorer) for name, (scorer, _) in chosen.items()}
    scorers[_ERROR] = make_scorer(partial(standard_error, measure))
    found = check_scoring(model, scorers)(model, examples.inputs, examples.target)  # predicts once for all
    measures = {name: sign * float(found[name]) for name, (_, sign) in chosen.items()}
    if "roc_auc" in measures:  # separate: scorers that share predictions must use the same positive class
        measures["average_precision"] = _average_precision(model, examples)
    return Report(measure, measures[measure], measures, len(examples.target), float(found[_ERROR]))


def score_again(model: BaseEstimator, examples: Examples, measure: str) -> float:
    """Return one measure of another model, to compare it with a report on the same examples."""
    scorer, sign = {**_SCORERS["classification"], **_SCORERS["regression"], **_BINARY}[measure]
    return sign * float(get_scorer(scorer)(model, examples.inputs, examples.target))


def standard_error(measure: str, target: pd.Series, predicted: np.ndarray) -> float:
    """Return the standard error of a score due to the sample of rows; 0 for unsupported measures."""
    match measure:
        case "accuracy":
            return float(np.sqrt(_variance_of_share(target.to_numpy() == predicted)))
        case "balanced_accuracy":
            hits = pd.Series(target.to_numpy() == predicted).groupby(target.to_numpy())
            variances = [_variance_of_share(each.to_numpy()) for _, each in hits]
            return float(np.sqrt(sum(variances)) / len(variances))
        case "r2":
            off, wide = (target - predicted) ** 2, (target - target.mean()) ** 2
            influence = (off - wide * off.mean() / wide.mean()) / wide.mean()  # the delta method
            return float(influence.std() / np.sqrt(len(target)))
    return 0.0


def _variance_of_share(hits: np.ndarray) -> float:
    """Return the variance of the share of hits, with one hit and one miss added for small samples."""
    share = (hits.sum() + 1) / (len(hits) + 2)
    return float(share * (1 - share) / len(hits))


def _average_precision(model: BaseEstimator, examples: Examples) -> float:
    """Return the average precision of the rarer class: its precision averaged over all recall levels."""
    rarer = examples.target.value_counts().index[-1]
    scorer = make_scorer(
        average_precision_score, response_method=("decision_function", "predict_proba"), pos_label=rarer
    )
    return float(scorer(model, examples.inputs, examples.target))
