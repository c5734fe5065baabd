"""Fitting: score a candidate by cross-validation, and fit a model with progress output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from orchestrator.artifacts.codecs.estimators import check_storable
from workers.training.candidates import Candidate, Scored
from workers.training.measures import Task, main_measure
from workers.training.tables import Division, Examples, folds_of


class Fitted(NamedTuple):
    """A fitted model, and its URI in MLflow."""

    model: BaseEstimator
    uri: str  #: empty if the run is not tracked


def fit_aloud(model: Pipeline, examples: Examples) -> Pipeline:
    """Fit the model with progress output of its last step, if that supports `verbose`."""
    last = model[-1]
    quiet = last.get_params().get("verbose")
    if quiet is None:
        return model.fit(examples.inputs, examples.target)
    last.set_params(verbose=1)
    try:
        return model.fit(examples.inputs, examples.target)
    finally:
        last.set_params(verbose=quiet)


def cross_validate(
    candidate: Candidate,
    model: BaseEstimator,
    examples: Examples,
    *,
    folds: int,
    seed: int,
    task: Task = "classification",
    measure: str | None = None,
    by: Division = "random",
) -> Scored:
    """Fit and score a candidate's model once for each of `folds` parts of the examples.

    The folds do not depend on the candidate, so that all are scored on the same ones. `measure` is the name
    of a scikit-learn scorer. A model that cannot be stored is refused before it is fitted.

    By time, each fold is weighted by its number of training rows: later folds are closer to future data, and
    to the model that is fitted on all rows.
    """
    check_storable(model)
    measure = measure or main_measure(task)
    divided = list(folds_of(examples, folds, seed=seed, stratify=task == "classification", by=by))
    scores = cross_val_score(
        model,
        examples.inputs,
        examples.target,
        scoring=measure,
        cv=divided,
        error_score="raise",
        verbose=3,  # print a line per finished fold
    )
    weights = [len(learnt) for learnt, _ in divided] if by == "time" else None
    mean = np.average(scores, weights=weights)
    spread = np.sqrt(np.average((scores - mean) ** 2, weights=weights))
    return Scored(candidate, measure, float(mean), float(spread))
