"""The columns of a frame one by one: some of them by name, and numbers over the memory that was read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from orchestrator.artifacts.codecs.parquet import columns_of
from orchestrator.authoring.table import check_columns

#: What Arrow's own pandas metadata does not keep, under this name in a table's metadata.
EXTRA: Final = b"orchestrator.pandas"
#: Frames of more columns than this are copied into few blocks of memory: pandas warns of more than 100 blocks
#: where columns are added, and each takes an open file.
MOST_IN_PLACE: Final = 64

_PANDAS: Final = b"pandas"
#: Bytes of the largest float that Arrow knows.
_WORD: Final = 8


def narrowed(
    schema: pa.Schema, labels: Sequence[object], names: Sequence[str]
) -> tuple[Sequence[int], pa.Schema]:
    """Where the columns of these names and the index are in a frame's table, and the schema of just those.

    `labels` are the names of all of the frame's columns, which come before its index. Raises MissingColumn.
    """
    check_columns(names, labels)
    own = [labels.index(name) for name in names]
    positions = [*own, *range(len(labels), len(schema))]
    metadata = dict(schema.metadata or {})
    extra = json.loads(metadata.get(EXTRA, b"{}"))
    for kind in ("objects", "categories"):  # what is said of columns by their position
        said = extra.get(kind, {})
        extra[kind] = {str(new): said[str(old)] for new, old in enumerate(own) if str(old) in said}
    kept = columns_of(schema, positions)
    pandas = json.loads(metadata[_PANDAS])
    pandas["columns"] = [each for each in pandas["columns"] if each["field_name"] in kept.names]
    return positions, kept.with_metadata(
        {**metadata, EXTRA: json.dumps(extra).encode(), _PANDAS: json.dumps(pandas).encode()}
    )


def floats_of(frame: pd.DataFrame) -> dict[int, np.dtype[Any]]:
    """The NumPy floats among the columns, by position."""
    return {
        position: dtype
        for position, dtype in enumerate(frame.dtypes)
        if isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize <= _WORD
    }


def with_integers(frame: pd.DataFrame, floats: Mapping[int, np.dtype[Any]]) -> pd.DataFrame:
    """The frame with its floats as integers of the same bits, in which pyarrow does not search for NaN."""
    if not floats:
        return frame
    columns = {
        position: pd.Series(
            frame.iloc[:, position].to_numpy().view(f"i{floats[position].itemsize}"), frame.index, copy=False
        )
        if position in floats
        else frame.iloc[:, position]
        for position in range(frame.shape[1])
    }
    made = pd.DataFrame(columns, index=frame.index, copy=False)
    made.columns, made.attrs = frame.columns, frame.attrs
    return made


def with_floats(table: pa.Table, floats: Mapping[int, np.dtype[Any]]) -> pa.Table:
    """The table of `with_integers` with its floats again; their NaN are values, and no nulls."""
    if not floats:
        return table
    columns, fields = list(table.columns), list(table.schema)
    pandas = json.loads(table.schema.metadata[_PANDAS])
    for position, dtype in floats.items():
        kind = pa.from_numpy_dtype(dtype)
        columns[position] = pa.chunked_array([chunk.view(kind) for chunk in columns[position].chunks], kind)
        fields[position] = fields[position].with_type(kind)
        pandas["columns"][position].update(pandas_type=str(dtype), numpy_type=str(dtype))
    metadata = {**table.schema.metadata, _PANDAS: json.dumps(pandas).encode()}
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=metadata))


def with_nulls(table: pa.Table, floats: Mapping[int, np.dtype[Any]]) -> pa.Table:
    """The table with nulls instead of NaN, as others expect them in Parquet."""
    for position in floats:
        values = pa.array(table.column(position).to_numpy(), from_pandas=True)
        table = table.set_column(position, table.schema.field(position), values)
    return table


def frame_over(table: pa.Table) -> pd.DataFrame:
    """The frame of a table, over the table's own memory where that is numbers that can be written to."""
    empty = cast("pd.DataFrame", table.schema.empty_table().to_pandas())
    arrays: dict[int, Any] = {}
    for position, dtype in enumerate(empty.dtypes):
        if (array := _memory_of(table.column(position), dtype)) is not None:
            arrays[position] = array
    others = [position for position in range(table.num_columns) if position not in arrays]
    rest = cast("pd.DataFrame", table.select(others).to_pandas())
    for place, position in enumerate(others[: rest.shape[1]]):
        arrays[position] = rest.iloc[:, place]
    in_order = {position: arrays[position] for position in range(empty.shape[1])}
    frame = pd.DataFrame(in_order, index=rest.index, copy=False)
    frame.columns = empty.columns
    frame.attrs = empty.attrs
    return frame


def _memory_of(column: pa.ChunkedArray, dtype: object) -> npt.NDArray[Any] | None:
    """The column's values where they lie, if pandas keeps them the same way; else None."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "iufMm" or column.num_chunks != 1:
        return None
    chunk = column.chunk(0)
    if not pa.types.is_primitive(chunk.type) or chunk.type.bit_width != 8 * dtype.itemsize:
        return None
    values = chunk.buffers()[1]
    if chunk.null_count or values is None or not values.is_mutable:
        return None
    return np.frombuffer(values, dtype, len(chunk), chunk.offset * dtype.itemsize)
