"""The catalogue of model families, from which candidates are built.

Each is deterministic for a seed and starts no processes, since workers provide the parallelism. Each can be
stored with skops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR

from workers.training.candidates import Candidate
from workers.training.measures import Task

Family: TypeAlias = Callable[..., BaseEstimator]

# Classes have equal weight however rare they are, as in balanced accuracy: otherwise a rare class is hardly
# ever predicted. Neighbours are searched by brute force: beyond a dozen or so columns, a tree is slower.
# Boosting has fewer bins if rows have weights: scikit-learn 1.9 then sorts a column again for each of them.
FAMILIES: Mapping[Task, Mapping[str, Family]] = {
    "classification": {
        "linear": partial(LogisticRegression, max_iter=2000, class_weight="balanced"),
        "neighbours": partial(KNeighborsClassifier, algorithm="brute"),
        "svm": partial(SVC, class_weight="balanced"),
        "forest": partial(RandomForestClassifier, n_jobs=1, class_weight="balanced_subsample"),
        "boosting": partial(HistGradientBoostingClassifier, class_weight="balanced", max_bins=63),
    },
    "regression": {
        "linear": Ridge,
        "neighbours": partial(KNeighborsRegressor, algorithm="brute"),
        "svm": SVR,
        "forest": partial(RandomForestRegressor, n_jobs=1),
        "boosting": HistGradientBoostingRegressor,
    },
}


def build(candidate: Candidate, *, task: Task = "classification", seed: int = 0) -> BaseEstimator:
    """Return the candidate as an unfitted estimator. Raises ValueError for an unknown family."""
    family = FAMILIES[task].get(candidate.family)
    if family is None:
        known = ", ".join(FAMILIES[task])
        raise ValueError(f"there is no family '{candidate.family}' for {task}; there are {known}")
    return _seeded(family(**candidate.settings), seed)


def guesser(task: Task) -> BaseEstimator:
    """Return a baseline model that ignores its inputs: it predicts the most frequent class, or the mean."""
    return DummyClassifier(strategy="prior") if task == "classification" else DummyRegressor()


def _seeded(estimator: BaseEstimator, seed: int) -> BaseEstimator:
    return estimator.set_params(random_state=seed) if "random_state" in estimator.get_params() else estimator
