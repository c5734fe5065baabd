"""Iris flowers: the pipeline that the notebook beside this file submits."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from orchestrator import context, pipeline, stage

SPECIES = "species"


class Scored(NamedTuple):
    """How well forests of one depth do."""

    depth: int
    accuracy: float


class Trained(NamedTuple):
    """What the pipeline returns."""

    model: RandomForestClassifier
    best: Scored


@stage
def load() -> pd.DataFrame:
    """150 flowers: four lengths in centimetres, and the species."""
    flowers: pd.DataFrame = load_iris(as_frame=True).frame
    return flowers.rename(columns={"target": SPECIES})


@stage(queue="training")
def score(depth: int, flowers: pd.DataFrame, trees: int) -> Scored:
    """Cross-validate forests of one depth."""
    forest = RandomForestClassifier(trees, max_depth=depth, random_state=0)
    accuracy = cross_val_score(forest, flowers.drop(columns=SPECIES), flowers[SPECIES]).mean()
    print(f"depth {depth}: {accuracy:.3f}")
    context.log_metric("accuracy", accuracy)
    return Scored(depth, float(accuracy))


@stage
def best(scored: list[Scored]) -> Scored:
    """The depth that did best, the smallest of several."""
    return max(scored, key=lambda each: (each.accuracy, -each.depth))


@stage(queue="training")
def fit(chosen: Scored, flowers: pd.DataFrame, trees: int) -> RandomForestClassifier:
    """A forest of the chosen depth, fitted to all flowers."""
    forest = RandomForestClassifier(trees, max_depth=chosen.depth, random_state=0)
    return forest.fit(flowers.drop(columns=SPECIES), flowers[SPECIES])


@stage
def curve(scored: list[Scored]) -> Figure:
    """The accuracy over the depth."""
    figure = Figure(figsize=(5, 2.5))
    axes = figure.add_subplot(xlabel="depth", ylabel="accuracy")
    axes.plot([each.depth for each in scored], [each.accuracy for each in scored], marker="o")
    return figure


@pipeline
def flowers(trees: int = 50, deepest: int = 5) -> Trained:
    """Fit a forest that tells irises apart, as deep as cross-validation wants it.

    Args:
        trees: of each forest
        deepest: the greatest depth to try
    """
    table = load()
    scored = score.partial(flowers=table, trees=trees).map(depth=list(range(1, deepest + 1)))
    chosen = best(scored)
    curve(scored)
    return Trained(fit(chosen, table, trees), chosen)
