"""Checks: which rows cannot be used, and whether a model of the others would still mean something."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import pandas as pd

from orchestrator import InvalidData
from pipelines.tabular.columns import Layout, as_classes, as_numbers, kind_of

Duplicates: TypeAlias = Literal["drop", "keep"]

FEWEST_ROWS = 30  #: with fewer, a score says nothing
RARE = 0.01  #: classes too small to be learnt are left out if they are no more than this share of the rows


@dataclass(frozen=True)
class CheckReport:
    """What was found, and what was done about it."""

    rows: int  #: in the file
    kept: int  #: that models get to see
    missing_target: int  #: rows left out, as there is nothing to learn from them
    duplicates: int  #: rows that repeat an earlier one
    rare_classes: dict[str, int]  #: classes left out, and their number of rows
    left_out: dict[str, str]  #: columns left out, and why
    dropped: bool = True  #: whether rows that repeat an earlier one were left out
    notes: list[str] = field(default_factory=list)  #: what had to be assumed of columns

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """What was found, in sentences."""
        lines = [f"{self.kept} of {self.rows} rows are used."]
        if self.missing_target:
            lines.append(f"Rows left out, as they lack the target: {self.missing_target}")
        if self.duplicates:
            done = "left out (-p duplicates=keep keeps them)" if self.dropped else "kept"
            lines.append(f"Rows that repeat an earlier one in every column, {done}: {self.duplicates}")
        lines += [
            f"Class left out, as it is too rare: '{name}' ({n})" for name, n in self.rare_classes.items()
        ]
        lines += self.notes
        lines += [f"Column left out: '{name}', {reason}" for name, reason in self.left_out.items()]
        return lines


class Checked(NamedTuple):
    """The rows that can be used, and what became of the others."""

    table: pd.DataFrame
    report: CheckReport


def check_table(
    table: pd.DataFrame,
    layout: Layout,
    *,
    test_fraction: float = 0.25,
    folds: int = 5,
    duplicates: Duplicates = "drop",
) -> Checked:
    """Leave out what cannot be used; raises InvalidData where a model of the rest would mean nothing.

    Rows that repeat an earlier one are dropped unless told otherwise: a held-out row with a copy in the
    training part is no longer unseen.
    """
    if not 0 < test_fraction < 1:
        raise InvalidData(f"test_fraction={test_fraction}: it is a share of the rows, between 0 and 1")
    target = layout.target
    values = _clean_target(table[target], layout)
    _require_variety(values, len(table))
    repeats = table.loc[values.index].duplicated()
    known = table.loc[values.index].assign(**{target: values})
    kept = known[~repeats] if duplicates == "drop" else known
    _require_rows(kept, of=len(table), repeats=int(repeats.sum()), duplicates=duplicates)
    rare: dict[str, int] = {}
    if layout.task == "classification":
        rare = _rare_classes(kept[target], folds, test_fraction)
        kept = kept[~kept[target].map(str).isin(list(rare))]
    else:
        _require_folds(len(kept), folds, test_fraction)
    report = CheckReport(
        rows=len(table),
        kept=len(kept),
        missing_target=len(table) - len(known),
        duplicates=int(repeats.sum()),
        rare_classes=rare,
        left_out=layout.left_out,
        dropped=duplicates == "drop",
        notes=layout.notes,
    )
    return Checked(kept.reset_index(drop=True), report)


def _clean_target(column: pd.Series, layout: Layout) -> pd.Series:
    """Amounts as floats; classes as whole numbers, truth values or text. What cannot be read as such goes."""
    kind, written = kind_of(column), layout.formats.get(layout.target, "")
    if kind == "date":
        raise InvalidData(f"the target '{layout.target}' holds dates: choose a column of numbers or classes")
    if layout.task == "classification":
        return as_classes(column, kind, written)
    if kind != "number":
        raise InvalidData(
            f"the target '{layout.target}' holds text, but regression needs numbers: -p task=auto"
        )
    return as_numbers(column, written).dropna()


def _require_variety(target: pd.Series, rows: int) -> None:
    if target.empty:
        raise InvalidData(f"the target '{target.name}' is missing in all {rows} rows: choose another column")
    if target.nunique() == 1:
        raise InvalidData(
            f"the target '{target.name}' is {target.iloc[0]!s} in every row, so there is nothing to predict: "
            "choose another column"
        )


def _require_rows(kept: pd.DataFrame, *, of: int, repeats: int, duplicates: Duplicates) -> None:
    if len(kept) >= FEWEST_ROWS:
        return
    dropped = repeats if duplicates == "drop" else 0
    way_out = " (-p duplicates=keep keeps repeated rows)" if dropped else ""
    raise InvalidData(
        f"{len(kept)} usable rows are too few, at least {FEWEST_ROWS} are needed: of {of} rows, "
        f"{of - len(kept) - dropped} lack the target and {dropped} repeat an earlier one{way_out}"
    )


def _require_folds(rows: int, folds: int, test_fraction: float) -> None:
    """Each fold needs two rows of the training part, so that it can have a score."""
    most = int(rows * (1 - test_fraction)) // 2
    if folds > most:
        raise InvalidData(
            f"folds={folds} is too much for {rows} usable rows: they can be divided into {most}"
        )


def _rare_classes(target: pd.Series, folds: int, test_fraction: float) -> dict[str, int]:
    """Classes with fewer rows than it takes to have one in each fold and in the held-out part."""
    fewest = max(math.ceil(folds / (1 - test_fraction)), math.ceil(1 / test_fraction)) + 1
    counts = target.value_counts()
    rare = counts[counts < fewest]
    if rare.sum() <= RARE * len(target) and len(counts) - len(rare) >= 2:
        return {str(name): int(count) for name, count in rare.items()}
    name, count = rare.index[0], int(rare.iloc[0])
    others = f" (so do {len(rare) - 1} more)" if len(rare) > 1 else ""
    fewer = "choose fewer folds, " if folds > 2 else ""
    raise InvalidData(
        f"class '{name}' of the target '{target.name}' has only {count} of the {fewest} rows that a class "
        f"needs with folds={folds}{others}: {fewer}add rows, join classes, or, if these are amounts, use "
        "-p task=regression"
    )
