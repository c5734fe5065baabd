"""Codecs of pandas tables and columns, as Parquet that gives back what went in, or refuses it."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.artifacts.codec import BlobCodec
from orchestrator.artifacts.codecs.tables import load_table, save_table, stream_table
from orchestrator.artifacts.errors import StoreError, WrongValue
from orchestrator.artifacts.faults import understood
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digest_in

#: What Arrow's own pandas metadata does not keep.
_EXTRA: Final = b"orchestrator.pandas"

#: What a column of Python objects may hold (as pandas infers it) so that it comes back the same.
_OBJECTS: Final = {"string", "bytes", "date", "decimal", "boolean", "empty"}


class FrameCodec(BlobCodec):
    """A `pandas.DataFrame` with its index, categories, time zones, nullable and text columns."""

    kind = "frame"

    def __init__(self) -> None:
        super().__init__("DataFrame", plain=False, exact=pd.DataFrame)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if type(value) is not pd.DataFrame:
            raise self.wrong(value)
        return {"codec": self.kind, "digest": save_table(to_arrow(value), store)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        return load_frame(tree, store)


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
        return {"codec": self.kind, "named": name is not None, "digest": save_table(to_arrow(frame), store)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        frame = load_frame(tree, store)
        if frame.shape[1] != 1:
            raise StoreError(f"artifact {digest_in(tree)} is no Series: it has {frame.shape[1]} columns")
        column = frame.iloc[:, 0]
        return column if tree.get("named") else column.rename(None)


def load_frame(tree: Tree, store: ArtifactStore) -> pd.DataFrame:
    """The frame of a blob that was stored by `to_arrow`."""
    table = load_table(digest_in(tree), store)
    with understood(f"artifact {digest_in(tree)}", "table"):
        return from_arrow(table)


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """The Arrow table of a frame; what would not come back the same is refused, with the column's name."""
    _check_names(frame)
    objects = {str(position): _missing_of(frame, position) for position in _object_columns(frame)}
    categories = _odd_categories(frame)
    extra = {
        "categories": {position: _categories_text(frame.dtypes.iloc[position]) for position in categories},
        "objects": objects,
        "object_index": _is_text_objects(frame.index),
        "freq": getattr(frame.index, "freqstr", None) if isinstance(frame.index, pd.DatetimeIndex) else None,
    }
    try:
        with _quiet():
            table = pa.Table.from_pandas(
                _with_codes(frame, categories), preserve_index=True if frame.columns.empty else None
            )
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise WrongValue(f"is a table that cannot be stored: {' '.join(map(str, error.args))}") from error
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), _EXTRA: json.dumps(extra).encode()}
    )
    _check_exact(frame, table)
    return table


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """The frame of a table made by `to_arrow`."""
    extra = json.loads((table.schema.metadata or {}).get(_EXTRA, b"{}"))
    with _quiet():
        frame = cast("pd.DataFrame", table.to_pandas())
    for position, missing in extra.get("objects", {}).items():
        column = frame.iloc[:, int(position)].astype(object)
        filler = None if missing == "None" else float("nan")
        frame.isetitem(int(position), cast("Any", column.where(column.notna(), filler).astype(object)))
    for position, text in extra.get("categories", {}).items():
        codes = frame.iloc[:, int(position)].to_numpy()
        frame.isetitem(int(position), pd.Categorical.from_codes(codes, dtype=_categories_of(text)))
    if extra.get("object_index"):
        frame.index = frame.index.astype(object)
    if extra.get("freq") and isinstance(frame.index, pd.DatetimeIndex) and len(frame.index):
        frame.index = pd.DatetimeIndex(frame.index, freq=extra["freq"])
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
    column = frame.iloc[:, position]
    return "None" if all(value is None for value in column[column.isna()]) else "nan"


def _is_text_objects(index: pd.Index[Any]) -> bool:
    return (
        index.nlevels == 1 and index.dtype == np.dtype(object) and index.inferred_type in ("string", "empty")
    )


def _check_exact(frame: pd.DataFrame, table: pa.Table) -> None:
    """Make the frame again without its rows, and compare all that is not in the rows."""
    try:
        empty = from_arrow(table.slice(0, 0))
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise WrongValue(f"is a table that cannot be stored: {error}") from error
    for name, dtype, returned in zip(frame.columns, frame.dtypes, empty.dtypes, strict=True):
        if dtype != returned:
            raise WrongValue(
                f"is a table whose column {name!r} is {dtype} and would come back as {returned}",
                hint="Convert the column to a type that Parquet keeps.",
            )
    if not frame.columns.equals(empty.columns) or list(frame.columns.names) != list(empty.columns.names):
        raise WrongValue(
            f"is a table whose column names ({frame.columns.inferred_type}) would not come back the same",
            hint="Make them text: frame.columns = frame.columns.map(str).",
        )
    if isinstance(frame.index, pd.RangeIndex):
        return  # kept in Arrow's own metadata, for a table with its rows
    if (before := _index_types(frame.index)) != (after := _index_types(empty.index)):
        raise WrongValue(
            f"is a table whose index {before} would come back as {after}",
            hint="Move it into columns with frame.reset_index(), or give it one type.",
        )


def _index_types(index: pd.Index[Any]) -> list[tuple[object, str]]:
    levels = index.levels if isinstance(index, pd.MultiIndex) else [index]
    return [(name, str(level.dtype)) for name, level in zip(index.names, levels, strict=True)]


@contextmanager
def _quiet() -> Iterator[None]:
    # pyarrow 25 reads `.values`, which pandas 3.1 warns of for time zones; to go with the next pyarrow.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\w+\.values returning an ndarray")
        yield
