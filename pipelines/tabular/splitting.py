"""Splitting: which rows are held back and which are folds: at random, the latest ones, or whole groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from orchestrator import InvalidData
from pipelines.tabular.columns import Layout, as_text
from workers.training import Division, Examples, Task, divide, folds_of

Split: TypeAlias = Division | Literal["auto"]


class Splitting(NamedTuple):
    """How rows are divided, what says so, and a sentence on it where it was not asked for."""

    by: Division
    keys: pd.Series | None = None  #: of each row its time, or its group
    notes: tuple[str, ...] = ()

    def of(self, examples: Examples) -> Examples:
        """The rows as they are divided: by time in its order, by group with it as their index."""
        if self.keys is None:
            return examples
        keys = pd.Index(self.keys)
        keyed = Examples(examples.inputs.set_axis(keys), examples.target.set_axis(keys))
        return keyed.at(np.argsort(keys.to_numpy(), kind="stable")) if self.by == "time" else keyed


def choose_split(
    table: pd.DataFrame,
    layout: Layout,
    dates: Mapping[str, pd.Series],
    wanted: Split,
    group: str | None,
    *,
    folds: int,
    test_fraction: float,
) -> Splitting:
    """Find out how the rows are to be divided; raises InvalidData if they cannot be as they should.

    `dates` are the table's columns of dates, as times.

    A model that is used later than it is fitted has to be judged on later rows. So where rows are in the
    order of a date, the latest are held back, unless something else is wanted.
    """
    if wanted == "auto" and group is None:
        return _found(dates, table[layout.target], layout.task, folds, test_fraction)
    if wanted == "random":
        return Splitting("random")
    chosen = _by_group(table[group]) if group is not None else Splitting("time", _times(dates))
    if trouble := _trouble(chosen, table[layout.target], layout.task, folds, test_fraction):
        raise InvalidData(
            f"split={chosen.by}: {trouble}: choose another split, test_fraction or number of folds"
        )
    return chosen


def _found(
    dates: Mapping[str, pd.Series], target: pd.Series, task: Task, folds: int, test_fraction: float
) -> Splitting:
    """By time where rows are ordered by it, if that can be done; at random otherwise."""
    if (ordering := _ordering(dates)) is None:
        return Splitting("random")
    name, times = ordering
    chosen = Splitting("time", times)
    if trouble := _trouble(chosen, target, task, folds, test_fraction):
        note = f"Rows are ordered by '{name}', yet held back at random: by time, {trouble}"
        return Splitting("random", None, (note,))
    note = f"Rows are ordered by '{name}': the latest are held back (-p split=random divides at random)"
    return chosen._replace(notes=(note,))


def _by_group(column: pd.Series) -> Splitting:
    codes, groups = pd.factorize(as_text(column), use_na_sentinel=False)
    note = f"Rows with the same '{column.name}' ({len(groups):,} different) are held back together"
    return Splitting("group", pd.Series(codes), (note,))


def _times(dates: Mapping[str, pd.Series]) -> pd.Series:
    """The times to divide by as asked: of the date that rows are ordered by, or of the only one."""
    if (ordering := _ordering(dates)) is not None:
        return ordering[1]
    if not dates:
        raise InvalidData("split=time: no column holds dates")
    if len(dates) > 1:
        names = ", ".join(f"'{name}'" for name in dates)
        raise InvalidData(f"split=time: {names} hold dates, and rows are ordered by none: sort them by one")
    ((name, times),) = dates.items()
    if gaps := int(times.isna().sum()):
        raise InvalidData(
            f"split=time: {gaps:,} rows have no date in '{name}': fill it in, or leave them out"
        )
    return times


def _ordering(dates: Mapping[str, pd.Series]) -> tuple[str, pd.Series] | None:
    """The first date that rows are in the order of, forwards or backwards, and its times."""
    for name, times in dates.items():
        if times.notna().all() and (times.is_monotonic_increasing or times.is_monotonic_decreasing):
            return name, times
    return None


def _trouble(
    splitting: Splitting, target: pd.Series, task: Task, folds: int, test_fraction: float
) -> str | None:
    """What keeps rows from being divided so."""
    whole = splitting.of(Examples(pd.DataFrame(index=target.index), target))
    different = whole.target.index.nunique()
    if different <= folds:
        return f"{different} different {splitting.by}s are too few for folds={folds}"
    is_classes = task == "classification"
    train, test = divide(whole, test_fraction, seed=0, stratify=is_classes, by=splitting.by)
    if min(len(train.target), len(test.target)) < 2 * folds:
        return f"{len(train.target):,} rows would be learnt from and {len(test.target):,} held back"
    if is_classes:
        known = train.target.value_counts()
        if unknown := sorted(map(str, set(test.target) - set(known.index[known > 1]))):
            return f"class '{unknown[0]}' would be met in the rows held back only"
        if not list(folds_of(train, folds, seed=0, stratify=True, by=splitting.by)):
            return "the rows to learn from hold one class each"
    return None
