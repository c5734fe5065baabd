"""Preparing: from the table as it was read to the one that models take, and predict from.

A registered model's input is the *prepared* table. To predict from new rows, prepare them the same way, with
the layout that the run which fitted the model has kept as `layout.json`:

    model.predict(prepare_inputs(read_table(Path("new.csv")), layout))
"""

from __future__ import annotations

import pandas as pd

from pipelines.tabular.columns import Layout, as_dates, as_numbers, as_text
from workers.training import Examples


def prepare_examples(table: pd.DataFrame, layout: Layout) -> Examples:
    """The columns to learn from, prepared, beside the target."""
    return Examples(prepare_inputs(table, layout), table[layout.target])


def prepare_inputs(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Numbers as floats, categories as text, a date as four numbers; gaps stay, for the model to fill."""
    prepared: dict[str, pd.Series] = {}
    for name, kind in layout.kinds.items():
        match kind:
            case "number":
                prepared[name] = as_numbers(table[name])
            case "category":
                prepared[name] = as_text(table[name])
            case "date":
                prepared |= _date_parts(name, as_dates(table[name]))
    return pd.DataFrame(prepared)


def _date_parts(name: str, dates: pd.Series) -> dict[str, pd.Series]:
    """What may matter of a date: how long ago it is (in days since 1970), and when in the year and week."""
    parts = {
        "day": (dates - pd.Timestamp(0)) / pd.Timedelta(days=1),
        "year": dates.dt.year,
        "month": dates.dt.month,
        "weekday": dates.dt.day_of_week,
    }
    return {f"{name}.{part}": values.astype("float64") for part, values in parts.items()}
