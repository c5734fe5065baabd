"""Reading: from the user's CSV or Parquet file to a clean table, or to one line that says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype, is_timedelta64_dtype

from orchestrator import Unfit

HEAD = 64 * 1024  #: bytes from which the kind of file is told
SEPARATORS = ",;\t|"

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


def read_table(file: Path) -> pd.DataFrame:
    """The table in a CSV or Parquet file, with text names and one kind of value in each column.

    The separator, the decimal sign and the encoding of a CSV are found out. Raises Unfit, with one line, for
    what is no table.
    """
    head = _head(file)
    table = _read_parquet(file) if head.startswith(b"PAR1") else _read_csv(file, head)
    table.columns = table.columns.map(lambda name: str(name).strip())
    _require_shape(table, file)
    return table.apply(_one_kind)


def require_column(table: pd.DataFrame, column: str, file: Path) -> None:
    """Raise Unfit, with a near miss and the columns there are, if the table lacks the column."""
    if column in table.columns:
        return
    by_lower = {name.lower(): name for name in table.columns}
    near = get_close_matches(column.lower(), by_lower, 1)
    meant = f"Did you mean '{by_lower[near[0]]}'? " if near else ""
    raise Unfit(f"{file} has no column '{column}'. {meant}Its columns are {_listed(list(table.columns))}")


def _head(file: Path) -> bytes:
    if not file.exists():
        raise Unfit(f"there is no file {file}: check the path (the workers must be able to read it, too)")
    if not file.is_file():
        raise Unfit(f"{file} is a folder: give one CSV or Parquet file in it")
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
    except PermissionError as error:
        raise Unfit(f"{file} may not be read by this user: change its permissions") from error
    if not head.strip():
        raise Unfit(f"{file} is empty: export it again with its data")
    for start, meaning in NOT_TABLES.items():
        if head.startswith(start):
            raise Unfit(f"{file} is {meaning}")
    if b"\0" in head and not head.startswith((b"PAR1", b"\xff\xfe", b"\xfe\xff")):
        raise Unfit(f"{file} is not a table, but binary data: give a CSV or Parquet file")
    return head


def _read_parquet(file: Path) -> pd.DataFrame:
    try:
        found = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise Unfit(
            f"{file} is a damaged Parquet file ({_first_line(error)}): write or copy it again"
        ) from error
    # Without pandas' own notes in the file, an index with a name is a column like the others.
    table: pd.DataFrame = found.to_pandas(ignore_metadata=True)
    return table.drop(columns=[name for name in table if str(name).startswith("__index_level_")])


def _read_csv(file: Path, head: bytes) -> pd.DataFrame:
    encoding = _encoding(file, head)
    text = head.decode(encoding, errors="ignore").lstrip()
    separator = _separator(text.partition("\n")[0])
    decimal = "," if separator == ";" and re.search(r"\d,\d", text) else "."
    try:
        table = pd.read_csv(
            file, sep=separator, decimal=decimal, encoding=encoding, skipinitialspace=True, low_memory=False
        )
    except (pd.errors.EmptyDataError, ValueError) as error:  # ParserError and UnicodeError are ValueErrors
        raise Unfit(
            f"{file} is not a table ({_first_line(error)}): give a CSV file with a header and as many values "
            "in each row, or a Parquet file"
        ) from error
    if not isinstance(table.index, pd.RangeIndex):
        raise Unfit(f"the rows of {file} have more values than its header has names: name every column")
    return table


def _require_shape(table: pd.DataFrame, file: Path) -> None:
    if table.shape[1] < 2:
        raise Unfit(
            f"{file} has only one column, {_listed(list(table.columns))}: a model needs one to predict and "
            "others to learn from; in a CSV file, commas, semicolons, tabs or bars separate them"
        )
    if table.empty:
        raise Unfit(f"{file} has a header and no rows: export it again with its data")
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise Unfit(f"{file} has more than one column '{twice}': give each its own name")


def _encoding(file: Path, head: bytes) -> str:
    """By the mark at the start; else UTF-8; if the file is not that, the encoding of Western spreadsheets."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        with file.open(encoding="utf-8-sig") as opened:
            while opened.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _separator(header: str) -> str:
    """The likeliest character between the header's names; a comma where nothing separates them."""
    outside_quotes = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=outside_quotes.count)


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
    first = str(error).strip().partition("\n")[0]
    return first.removeprefix("Error tokenizing data. C error: ").rstrip(".: ")
