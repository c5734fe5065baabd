"""Reading: from the user's CSV or Parquet file to a table as given, or to one line on what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype, is_timedelta64_dtype

from orchestrator import InvalidData
from pipelines.tabular.delimited import read_delimited, require_different
from pipelines.tabular.encodings import is_binary

HEAD = 64 * 1024  #: bytes from which the kind of file is told
EXACT = 2**53  #: whole numbers beyond it are not exact as floats

#: How files start that are often taken for tables, what they are, and what makes a table of them.
NOT_TABLES = {
    b"PK\x03\x04": "an Excel or zip file: save the sheet as CSV, or unpack it, and give that file",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save the sheet as CSV, and give that file",
    b"\x1f\x8b": "compressed: unpack it with gunzip, and give that file",
    b"%PDF": "a PDF: give the table itself, as CSV or Parquet",
    b"{": "JSON: write the table as CSV or Parquet, and give that file",
    b"[": "JSON: write the table as CSV or Parquet, and give that file",
    b"<!": "a web page: download the table itself, as CSV or Parquet",
}


class Source(NamedTuple):
    """The table in a user's file, each row and value as given, and what had to be assumed to read it."""

    table: pd.DataFrame
    notes: list[str]


def read_table(file: Path, encoding: str = "auto") -> pd.DataFrame:
    """The table in a CSV or Parquet file; see `read_source`."""
    return read_source(file, encoding).table


def read_source(file: Path, encoding: str = "auto") -> Source:
    """The table in a CSV or Parquet file, with text names and one kind of value in each column.

    What a CSV holds is text, without the blanks around it: what its columns mean is for `lay_out` to say. Its
    separator is found out, and so is its encoding unless it is named. Raises InvalidData for what
    is no table.
    """
    head = _head(file)
    source = _read_parquet(file) if head.startswith(b"PAR1") else _read_csv(file, encoding)
    _require_shape(source.table, file)
    return source


def require_column(table: pd.DataFrame, column: str, file: Path) -> None:
    """Raise InvalidData, with a near miss and the columns there are, if the table lacks the column."""
    if column in table.columns:
        return
    by_lower = {name.lower(): name for name in table.columns}
    near = get_close_matches(column.lower(), by_lower, 1)
    meant = f"Did you mean '{by_lower[near[0]]}'? " if near else ""
    raise InvalidData(
        f"{file} has no column '{column}'. {meant}Its columns are {_listed(list(table.columns))}"
    )


def _head(file: Path) -> bytes:
    if not file.exists():
        raise InvalidData(
            f"there is no file {file}: check the path (the workers must be able to read it, too)"
        )
    if not file.is_file():
        raise InvalidData(f"{file} is a folder: give one CSV or Parquet file in it")
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
    except PermissionError as error:
        raise InvalidData(f"{file} may not be read by this user: change its permissions") from error
    if not head.strip():
        raise InvalidData(f"{file} is empty: export it again with its data")
    for start, meaning in NOT_TABLES.items():
        if head.startswith(start):
            raise InvalidData(f"{file} is {meaning}")
    if is_binary(head) and not head.startswith(b"PAR1"):
        raise InvalidData(f"{file} is not a table, but binary data: give a CSV or Parquet file")
    return head


def _read_parquet(file: Path) -> Source:
    try:
        names = [name.strip() for name in pq.read_schema(file).names]
        require_different(names, file)
        found = pq.read_table(file).rename_columns(names)
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(
            f"{file} is a damaged Parquet file ({_first_line(error)}): write or copy it again"
        ) from error
    found = found.drop_columns([name for name in names if name.startswith("__index_level_")])
    exact = pa.table([_exact(column) for column in found.itercolumns()], names=found.column_names)
    # Without pandas' own notes in the file, an index with a name is a column like the others.
    table: pd.DataFrame = exact.to_pandas(ignore_metadata=True)
    return Source(table.apply(_one_kind) if len(table) else table, [])


def _exact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column; as text where pandas, which has floats for whole numbers with gaps, would round them."""
    if not pa.types.is_integer(column.type) or not column.null_count:
        return column
    limits = pc.min_max(column).as_py()
    largest = max(abs(limit or 0) for limit in limits.values())
    return column.cast(pa.string()) if largest > EXACT else column


def _read_csv(file: Path, encoding: str) -> Source:
    columns, notes = read_delimited(file, encoding)
    return Source(columns.to_pandas(), notes)


def _require_shape(table: pd.DataFrame, file: Path) -> None:
    if table.shape[1] < 2:
        raise InvalidData(
            f"{file} has only one column, {_listed(list(table.columns))}: a model needs one to predict and "
            "others to learn from; in a CSV file, commas, semicolons, tabs or bars separate them"
        )
    if table.empty:
        raise InvalidData(f"{file} has a header and no rows: export it again with its data")


def _one_kind(column: pd.Series) -> pd.Series:
    """The column as numbers, times in UTC or text; what is none of these (lists, mixtures) becomes text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.dtype.categories.dtype)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return pd.to_datetime(column, utc=True).dt.tz_localize(None)
    if is_timedelta64_dtype(column):
        seconds: pd.Series = column.dt.total_seconds()
        return seconds
    if column.dtype != object:
        return column
    match infer_dtype(column, skipna=True):
        case "empty":
            return column.astype("float64")
        case "date" | "datetime" | "datetime64":
            return pd.to_datetime(column, errors="coerce")
        case "decimal" | "integer" | "floating" | "mixed-integer-float":
            return pd.to_numeric(column, errors="coerce").astype("float64")
        case _:
            return column.map(str, na_action="ignore").astype("str")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".: ")
