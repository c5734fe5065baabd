"""Split tables into inputs and target, into train and test parts, and into folds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    train_test_split,
)

#: How rows are split: at random; by time, so that test rows come after training rows; or by group, so that no
#: group is in both parts. Rows are sorted by time, or have their group as index.
Division: TypeAlias = Literal["random", "time", "group"]

FEWEST_OF_A_CLASS = 20  #: minimum rows of each class in a sample, if available


class Examples(NamedTuple):
    """Rows of a table: the inputs of a model, and the target to predict."""

    inputs: pd.DataFrame
    target: pd.Series

    def at(self, positions: np.ndarray) -> Examples:
        """Return the rows at these positions, in this order."""
        return Examples(self.inputs.iloc[positions], self.target.iloc[positions])


class Parts(NamedTuple):
    """Examples in two parts: for training and for testing."""

    train: Examples
    test: Examples


def examples(table: pd.DataFrame, target: str) -> Examples:
    """Split a table into its input columns and the target column."""
    return Examples(table.drop(columns=target), table[target])


def sample(whole: Examples, rows: int, *, seed: int, stratify: bool) -> Examples:
    """Return a random sample of about `rows` rows, in order; all rows if there are no more.

    If stratified, each class keeps its share, and a rare class more than that.
    """
    if len(whole.target) <= rows:
        return whole
    share, positions = rows / len(whole.target), pd.Series(np.arange(len(whole.target)))
    if not stratify:
        return whole.at(np.sort(positions.sample(rows, random_state=seed).to_numpy()))
    taken = [
        of_class.sample(
            max(round(share * len(of_class)), min(FEWEST_OF_A_CLASS, len(of_class))), random_state=seed
        )
        for _, of_class in positions.groupby(whole.target.to_numpy())
    ]
    return whole.at(np.sort(np.concatenate(taken)))


def divide(
    whole: Examples, test_fraction: float, *, seed: int, stratify: bool, by: Division = "random"
) -> Parts:
    """Split off a share of the rows for testing; a stratified random split keeps the share of each class.

    By time, rows with the same index as the first test row are test rows too.
    """
    positions, target = np.arange(len(whole.target)), whole.target.to_numpy()
    match by:
        case "random":
            chosen = train_test_split(
                positions, test_size=test_fraction, random_state=seed, stratify=target if stratify else None
            )
        case "time":
            first = whole.target.index[round(len(positions) * (1 - test_fraction))]
            later = np.asarray(whole.target.index >= first)
            chosen = [positions[~later], positions[later]]
        case "group":
            splitter = GroupShuffleSplit(1, test_size=test_fraction, random_state=seed)
            chosen = next(splitter.split(positions, groups=whole.target.index))
    train, test = (whole.at(each) for each in chosen)
    return Parts(train, test) if by == "group" else Parts(_renumbered(train), _renumbered(test))


def folds_of(
    whole: Examples, folds: int, *, seed: int, stratify: bool, by: Division = "random"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the positions of training and test rows of each fold.

    By time, each fold trains on all rows before it; when stratified, a fold is omitted if those rows contain
    only one class, or a class with a single row.
    """
    splitter: KFold | StratifiedKFold | GroupKFold | StratifiedGroupKFold | TimeSeriesSplit
    match by, stratify:
        case "random", False:
            splitter = KFold(folds, shuffle=True, random_state=seed)
        case "random", True:
            splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        case "group", False:
            splitter = GroupKFold(folds, shuffle=True, random_state=seed)
        case "group", True:
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        case _:
            splitter = TimeSeriesSplit(folds)
    groups = whole.target.index if by == "group" else None
    for learnt, judged in splitter.split(whole.inputs, whole.target, groups):
        if not stratify or by == "random" or _can_be_told_apart(whole.target.iloc[learnt]):
            yield learnt, judged


def _can_be_told_apart(classes: pd.Series) -> bool:
    counts = classes.value_counts()
    return len(counts) > 1 and bool(counts.min() > 1)


def _renumbered(part: Examples) -> Examples:
    return Examples(part.inputs.reset_index(drop=True), part.target.reset_index(drop=True))
