"""Tables as models take them: inputs beside the target, and divided into parts."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from sklearn.model_selection import train_test_split


class Examples(NamedTuple):
    """Rows of a table: what a model sees of each, and what it is to predict."""

    inputs: pd.DataFrame
    target: pd.Series


class Parts(NamedTuple):
    """Examples in two parts: those that models learn from, and those they are judged on."""

    train: Examples
    test: Examples


def examples(table: pd.DataFrame, target: str) -> Examples:
    """A table taken apart: all other columns, and the target's."""
    return Examples(table.drop(columns=target), table[target])


def sample(whole: Examples, rows: int, *, seed: int, stratify: bool) -> Examples:
    """That many of the rows, at random; all of them where there are no more."""
    if len(whole.target) <= rows:
        return whole
    return divide(whole, 1 - rows / len(whole.target), seed=seed, stratify=stratify).train


def divide(whole: Examples, test_fraction: float, *, seed: int, stratify: bool) -> Parts:
    """Set a share of the rows aside, at random; stratified, each class keeps its share in both parts."""
    divided = train_test_split(
        whole.inputs,
        whole.target,
        test_size=test_fraction,
        random_state=seed,
        stratify=whole.target if stratify else None,
    )
    train_inputs, test_inputs, train_target, test_target = (each.reset_index(drop=True) for each in divided)
    return Parts(Examples(train_inputs, train_target), Examples(test_inputs, test_target))
