"""Preparing: from the table as it was read to the one that models take, and predict from.

A registered model's input is the *prepared* table. To predict from new rows, prepare them the same way, with
the layout that the run which fitted the model has kept as `layout.json`:

    model.predict(prepare_inputs(read_table(Path("new.csv")), layout))
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipelines.tabular.columns import Layout, as_numbers, as_text, dates_of
from workers.training import Examples

DATE_PARTS = ("day", "year", "month", "weekday")


def prepare_examples(table: pd.DataFrame, layout: Layout, dates: Mapping[str, pd.Series]) -> Examples:
    """The columns to learn from, prepared, beside the target; the dates among them as they were read."""
    return Examples(_prepared(table, layout, dates), table[layout.target])


def prepare_inputs(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Numbers as floats, categories as text, a date as four numbers; gaps stay, for the model to fill."""
    return _prepared(table, layout, dates_of(table, layout))


def _prepared(table: pd.DataFrame, layout: Layout, dates: Mapping[str, pd.Series]) -> pd.DataFrame:
    prepared: dict[str, pd.Series] = {}
    for name, kind in layout.kinds.items():
        match kind:
            case "number":
                prepared[name] = as_numbers(table[name], layout.formats.get(name, ""))
            case "category":
                prepared[name] = as_text(table[name])
            case "date":
                prepared |= _date_parts(_free_name(name, prepared, layout), dates[name])
    return pd.DataFrame(prepared)


def _free_name(name: str, prepared: Mapping[str, pd.Series], layout: Layout) -> str:
    """What the parts of a date are named after: the date, unless a part would bear another column's name."""
    taken = {*prepared, *layout.kinds, layout.target}
    while any(f"{name}.{part}" in taken for part in DATE_PARTS):
        name = f"{name}.date"
    return name


def _date_parts(name: str, dates: pd.Series) -> dict[str, pd.Series]:
    """What may matter of a date: how long ago it is (in days since 1970), and when in the year and week."""
    days = (dates - pd.Timestamp(0).as_unit("us")) / pd.Timedelta(days=1)
    parts = (days, dates.dt.year, dates.dt.month, dates.dt.day_of_week)
    return {
        f"{name}.{part}": values.astype("float64") for part, values in zip(DATE_PARTS, parts, strict=True)
    }
