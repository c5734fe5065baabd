"""Measures of how good a model is, by task, and the report that a gate reads."""

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
_ERROR = "standard error"  #: taken from the same predictions as the measures


@dataclass(frozen=True)
class Report:
    """How a model did on rows that it has not seen."""

    measure: str  #: the measure that decides
    score: float  #: its value; the higher, the better
    measures: dict[str, float]  #: all measures of the task, that one included
    rows: int  #: how many rows it was judged on
    error: float = 0.0  #: standard error of the score: how far it may be off by chance; 0 if unknown


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
    measure = measure or main_measure(task)
    chosen = dict(_SCORERS[task])
    if task == "classification" and examples.target.nunique() == len(model.classes_) == 2:
        chosen |= _BINARY
    scorers = {name: get_scorer(scorer) for name, (scorer, _) in chosen.items()}
    scorers[_ERROR] = make_scorer(partial(standard_error, measure))
    found = check_scoring(model, scorers)(model, examples.inputs, examples.target)  # predicts once for all
    measures = {name: sign * float(found[name]) for name, (_, sign) in chosen.items()}
    if "roc_auc" in measures:  # apart: scorers that share predictions must mean the same class by them
        measures["average_precision"] = _average_precision(model, examples)
    return Report(measure, measures[measure], measures, len(examples.target), float(found[_ERROR]))


def score_again(model: BaseEstimator, examples: Examples, measure: str) -> float:
    """One measure of another model, to compare it with a report on the same examples."""
    scorer, sign = {**_SCORERS["classification"], **_SCORERS["regression"], **_BINARY}[measure]
    return sign * float(get_scorer(scorer)(model, examples.inputs, examples.target))


def standard_error(measure: str, target: pd.Series, predicted: np.ndarray) -> float:
    """How far a score may be off because the rows it was measured on are a sample; 0 for other measures."""
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
    """Of the share of hits; with a hit and a miss added, since few rows that are all hits prove little."""
    share = (hits.sum() + 1) / (len(hits) + 2)
    return float(share * (1 - share) / len(hits))


def _average_precision(model: BaseEstimator, examples: Examples) -> float:
    """Of the rarer class: the precision with which it is found, averaged over all shares of it found."""
    rarer = examples.target.value_counts().index[-1]
    scorer = make_scorer(
        average_precision_score, response_method=("decision_function", "predict_proba"), pos_label=rarer
    )
    return float(scorer(model, examples.inputs, examples.target))
