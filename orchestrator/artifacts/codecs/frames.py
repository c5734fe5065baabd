"""Codecs of pandas tables and columns, as Parquet that gives back what went in, or refuses it."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.artifacts.codec import BlobCodec
from orchestrator.artifacts.codecs.columns import goes_by_column
from orchestrator.artifacts.codecs.frame_columns import (
    EXTRA,
    MOST_IN_PLACE,
    floats_of,
    frame_over,
    narrowed,
    with_floats,
    with_integers,
    with_nulls,
)
from orchestrator.artifacts.codecs.labels import (
    check_attributes,
    check_index,
    columns_as_they_were,
    columns_text,
    freq_of,
    same_columns,
    shown_type,
    with_freq,
)
from orchestrator.artifacts.codecs.parquet import stream_table
from orchestrator.artifacts.codecs.tables import save_table, stored_table
from orchestrator.artifacts.errors import StoreError, WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.table import selected

#: What a column of Python objects may hold (as pandas infers it) so that it comes back the same.
_OBJECTS: Final[dict[str, type]] = {
    "string": str,
    "bytes": bytes,
    "date": date,
    "decimal": Decimal,
    "boolean": bool,
    "empty": object,
}
#: What a missing value may be in such a column, by name; others than NaN are known by their identity.
_MISSING: Final = {"None": None, "nan": float("nan"), "NA": pd.NA, "NaT": pd.NaT}
_GAPS: Final = {id(value): name for name, value in _MISSING.items() if name != "nan"}


class FrameCodec(BlobCodec):
    """A `pandas.DataFrame` with its index, categories, time zones, nullable and text columns."""

    kind = "frame"

    def __init__(self) -> None:
        super().__init__("DataFrame", plain=False, exact=pd.DataFrame)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if type(value) is not pd.DataFrame:
            raise self.wrong(value)
        return {"codec": self.kind, **save_frame(value, store)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        return load_frame(tree, store)


class ColumnsCodec(FrameCodec):
    """Some columns of a `pandas.DataFrame`: `Table["price", "day"]`."""

    def __init__(self, label: str, columns: Sequence[str]) -> None:
        super().__init__()
        self.label, self._columns = label, columns

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if type(value) is not pd.DataFrame:
            raise self.wrong(value)
        return super().encode(selected(value, self._columns), store)

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        return load_frame(tree, store, self._columns)


class SeriesCodec(BlobCodec):
    """A `pandas.Series`, as a table of one column."""

    kind = "series"

    def __init__(self) -> None:
        super().__init__("Series", plain=False, exact=pd.Series)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if type(value) is not pd.Series:
            raise self.wrong(value)
        name: Hashable = value.name
        if name is not None and type(name) not in (str, int):
            raise WrongValue(f"is a Series named {name!r}; only text and integers can be stored as its name")
        frame = value.to_frame("value" if name is None else name)
        return {"codec": self.kind, "named": name is not None, **save_frame(frame, store)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        frame = load_frame(tree, store)
        if frame.shape[1] != 1:
            raise StoreError(f"a stored Series has {frame.shape[1]} columns")
        column = frame.iloc[:, 0]
        return column if tree.get("named") else column.rename(None)


def save_frame(frame: pd.DataFrame, store: ArtifactStore) -> Tree:
    """Store a frame; returns what its tree says of the blobs."""
    table = to_arrow(frame)
    return save_table(table if goes_by_column(table) else with_nulls(table, floats_of(frame)), store)


def load_frame(tree: Tree, store: ArtifactStore, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The frame that `save_frame` stored, or the columns of these names only. Raises MissingColumn."""
    stored = stored_table(tree, store)
    schema = stored.schema
    positions: Sequence[int] = range(len(schema))
    if names is not None:
        with translated_parse_errors("a stored table", "table"):
            labels = list(from_arrow(schema.empty_table()).columns)
        positions, schema = narrowed(schema, labels, names)
    in_place = "parts" in tree and len(positions) <= MOST_IN_PLACE
    table = stored.read(positions, writable=in_place)
    with translated_parse_errors("a stored table", "table"):
        return from_arrow(table.replace_schema_metadata(schema.metadata), in_place=in_place)


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """The Arrow table of a frame; what would not come back the same is refused, with the column's name.

    NaN among NumPy's floats are values in it, so that they are read without a copy; other gaps are nulls.
    """
    _check_names(frame)
    check_attributes(frame.attrs)
    objects = {str(position): _missing_of(frame, position) for position in _object_columns(frame)}
    categories, floats = _odd_categories(frame), floats_of(frame)
    extra = {
        "categories": {position: _categories_text(frame.dtypes.iloc[position]) for position in categories},
        "objects": objects,
        "object_index": _is_text_objects(frame.index),
        "freq": freq_of(frame.index, "index"),
        "columns": columns_text(frame.columns),
        "unique_labels": not frame.flags.allows_duplicate_labels,
    }
    try:
        with _quiet():
            table = pa.Table.from_pandas(
                with_integers(_with_codes(frame, categories), floats),
                preserve_index=True if frame.columns.empty else None,
            )
        table = with_floats(table, floats)
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), EXTRA: json.dumps(extra).encode()}
        )
        empty = from_arrow(table.slice(0, 0))
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise WrongValue(f"is a table {_culprit(frame)} cannot be stored: {error}") from error
    _check_exact(frame, empty)
    return table


def from_arrow(table: pa.Table, *, in_place: bool = False) -> pd.DataFrame:
    """The frame of a table made by `to_arrow`. `in_place` takes over the memory of a table of one's own."""
    extra = json.loads((table.schema.metadata or {}).get(EXTRA, b"{}"))
    with _quiet():
        frame = frame_over(table) if in_place else cast("pd.DataFrame", table.to_pandas())
    for position, missing in extra.get("objects", {}).items():
        column = frame.iloc[:, int(position)].astype(object)
        filler = _MISSING[missing]
        frame.isetitem(int(position), cast("Any", column.where(column.notna(), filler).astype(object)))
    for position, text in extra.get("categories", {}).items():
        codes = frame.iloc[:, int(position)].to_numpy()
        frame.isetitem(int(position), pd.Categorical.from_codes(codes, dtype=_categories_of(text)))
    if extra.get("object_index"):
        frame.index = frame.index.astype(object)
    frame.index = with_freq(frame.index, extra.get("freq"))
    frame.columns = columns_as_they_were(frame.columns, extra.get("columns") or {})
    if extra.get("unique_labels"):
        cast("Any", frame).flags.allows_duplicate_labels = False
    return frame


def _check_names(frame: pd.DataFrame) -> None:
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise WrongValue(f"is a table with two columns named {twice!r}", hint="Rename one of them.")
    if frame.columns.nlevels == 1 and "mixed" in frame.columns.inferred_type:
        raise WrongValue(
            "is a table whose column names are of several types",
            hint="Make them text: frame.rename(columns=str).",
        )


def _object_columns(frame: pd.DataFrame) -> Iterator[int]:
    for position, dtype in enumerate(frame.dtypes):
        if dtype == np.dtype(object):
            holds = pd.api.types.infer_dtype(frame.iloc[:, position], skipna=True)
            if holds not in _OBJECTS:
                raise WrongValue(
                    f"is a table whose column {frame.columns[position]!r} holds Python objects ({holds})",
                    hint="Give the column one type, for example with .astype(str), 'Int64' or float.",
                )
            _check_types(frame, position, holds)
            yield position


def _odd_categories(frame: pd.DataFrame) -> list[int]:
    """The columns (by position) whose categories are intervals or periods, which Arrow cannot give back."""
    return [
        position
        for position, dtype in enumerate(frame.dtypes)
        if isinstance(dtype, pd.CategoricalDtype)
        and isinstance(dtype.categories.dtype, (pd.IntervalDtype, pd.PeriodDtype))
    ]


def _with_codes(frame: pd.DataFrame, positions: list[int]) -> pd.DataFrame:
    frame = frame.copy(deep=False) if positions else frame
    for position in positions:
        frame.isetitem(position, cast("Any", frame.iloc[:, position].cat.codes))
    return frame


def _categories_text(dtype: Any) -> str:
    table = pa.Table.from_pandas(pd.DataFrame({str(dtype.ordered): dtype.categories}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def _categories_of(text: str) -> pd.CategoricalDtype:
    categories = cast("pd.DataFrame", stream_table(base64.b64decode(text)).to_pandas()).iloc[:, 0]
    return pd.CategoricalDtype(
        pd.Index(categories, name=None).rename(None), ordered=categories.name == "True"
    )


def _missing_of(frame: pd.DataFrame, position: int) -> str:
    """What stands for a missing value in a column of objects."""
    column = frame.iloc[:, position]
    gaps = {_GAPS.get(id(value), "nan" if type(value) is float else "") for value in column[column.isna()]}
    if len(gaps) > 1 or "" in gaps:
        raise WrongValue(
            f"is a table whose column {frame.columns[position]!r} has several kinds of missing values",
            hint="Make them one: column.where(column.notna(), None).",
        )
    return gaps.pop() if gaps else "None"


def _check_types(frame: pd.DataFrame, position: int, holds: str) -> None:
    column = frame.iloc[:, position]
    kinds = set(map(type, column[column.notna()]))
    if odd := kinds - {_OBJECTS[holds]}:
        names = ", ".join(sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in odd))
        raise WrongValue(
            f"is a table whose column {frame.columns[position]!r} holds {names} among its {holds} values",
            hint="Give the column one type, for example with .astype(str), 'boolean' or pd.to_datetime.",
        )


def _is_text_objects(index: pd.Index[Any]) -> bool:
    return (
        index.nlevels == 1 and index.dtype == np.dtype(object) and index.inferred_type in ("string", "empty")
    )


def _check_exact(frame: pd.DataFrame, empty: pd.DataFrame) -> None:
    """Compare all that is not in the rows with the frame that came back without them."""
    for name, dtype, returned in zip(frame.columns, frame.dtypes, empty.dtypes, strict=True):
        if dtype != returned:
            raise WrongValue(
                f"is a table whose column {name!r} is {shown_type(dtype)} and would come back as "
                f"{shown_type(returned)}",
                hint="Convert the column to a type that Parquet keeps.",
            )
    if not same_columns(frame.columns, empty.columns):
        raise WrongValue(
            f"is a table whose column names ({frame.columns.inferred_type}) would not come back the same",
            hint="Make them text: frame.columns = frame.columns.map(str).",
        )
    check_index(frame.index, empty.index)


def _culprit(frame: pd.DataFrame) -> str:
    """Which part of a frame pyarrow does not take or give back, as far as it can be told."""
    plain = frame.reset_index(drop=True)
    for position, name in enumerate(frame.columns):
        if not _goes(plain.iloc[:, [position]].set_axis(["column"], axis="columns")):
            return f"whose column {name!r} ({shown_type(frame.dtypes.iloc[position])})"
    if not _goes(pd.DataFrame({"column": range(len(frame))}, index=frame.index)):
        return f"whose index ({shown_type(frame.index.dtype)})"
    return f"whose column names ({frame.columns.inferred_type})"


def _goes(part: pd.DataFrame) -> bool:
    try:
        with _quiet():
            pa.Table.from_pandas(part).to_pandas()
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        return False
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    # pyarrow 25 reads `.values`, which pandas 3.1 warns of for time zones; to go with the next pyarrow.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\w+\.values returning an ndarray")
        # What does not come back the same is refused here, and named.
        warnings.filterwarnings("ignore", message="The DataFrame has non-str index name")
        yield
