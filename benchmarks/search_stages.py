"""The stages of `search`: they load scikit-learn, so that only the worker of that row has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from orchestrator import pipeline, stage


class Examples(NamedTuple):
    """What the candidates are fitted to."""

    features: np.ndarray
    labels: np.ndarray


class Trial(NamedTuple):
    """A candidate and its score on a fold."""

    candidate: int
    score: float


def space(trees: int) -> Mapping[str, Sequence[float | int]]:
    """The values of each parameter; the largest forests have so many trees."""
    return {
        "n_estimators": [trees // 2, trees],
        "max_depth": [4, 8, 12],
        "max_features": [0.2, 0.4, 0.6, 0.8],
    }


def candidates(trees: int) -> list[dict[str, float | int]]:
    """All combinations."""
    values = space(trees)
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


@stage
def examples(rows: int) -> Examples:
    """Some examples of two classes."""
    features, labels = make_classification(rows, 30, n_informative=12, flip_y=0.1, random_state=0)
    return Examples(features, labels)


@stage(queue="training")
def score(examples: Examples, candidate: int, fold: int, folds: int, trees: int) -> Trial:
    """Fit a candidate without one fold, and score it on that."""
    split = list(StratifiedKFold(folds).split(examples.features, examples.labels))
    train, test = split[fold]
    model = RandomForestClassifier(random_state=0, **candidates(trees)[candidate])
    model.fit(examples.features[train], examples.labels[train])
    return Trial(candidate, float(model.score(examples.features[test], examples.labels[test])))


@stage
def best(trials: list[Trial]) -> int:
    """The number of the candidate with the best mean score."""
    scores: dict[int, list[float]] = {}
    for trial in trials:
        scores.setdefault(trial.candidate, []).append(trial.score)
    return max(scores, key=lambda candidate: float(np.mean(scores[candidate])))


@pipeline
def grid(rows: int, folds: int, trees: int) -> int:
    """Every candidate on every fold."""
    pairs = [(candidate, fold) for candidate in range(len(candidates(trees))) for fold in range(folds)]
    trials = score.partial(examples=examples(rows), folds=folds, trees=trees).map(
        candidate=[candidate for candidate, _ in pairs], fold=[fold for _, fold in pairs]
    )
    return best(trials)
