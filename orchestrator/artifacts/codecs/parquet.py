"""Arrow tables as one Parquet blob that gives back exactly what it was made of."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.artifacts.digest import Digest
from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.store import ArtifactStore

#: Parquet forgets some of Arrow's types: seconds, categories that are not text, categories that no row has.
#: The table without its rows, as an Arrow stream, is kept under this name to bring them back.
_SHELL: Final = b"orchestrator.shell"


def save_parquet(table: pa.Table, store: ArtifactStore) -> Digest:
    """Write the table as one Parquet blob. Raises WrongValue for one that Parquet cannot hold."""
    try:
        with store.spool() as file:
            write_parquet(table, file)
            return store.put(file)
    except pa.ArrowException as error:
        raise WrongValue(f"is a table that Parquet cannot hold: {_line(error)}") from error


def write_parquet(table: pa.Table, file: object) -> None:
    """Write the table to an open file, of Python's or of Arrow's."""
    table = table.unify_dictionaries()
    metadata = {**(table.schema.metadata or {}), _SHELL: base64.b64encode(_shell(table))}
    columns = [_codes(column) for column in table.columns]
    rows = pa.Table.from_arrays(columns, names=[str(index) for index in range(table.num_columns)])
    pq.write_table(rows.replace_schema_metadata(metadata), file, compression="zstd")


class ParquetTable:
    """A table that `save_parquet` wrote, of which columns are read by position."""

    def __init__(self, digest: Digest, store: ArtifactStore) -> None:
        self._source = f"artifact {digest}"
        path = store.local_path(digest)
        with translated_parse_errors(self._source, "table"):
            self._file = pq.ParquetFile(path, memory_map=True)
            self._shell = stream_table(base64.b64decode(self._file.schema_arrow.metadata[_SHELL]))

    @property
    def schema(self) -> pa.Schema:
        """The schema of the table that was written."""
        return self._shell.schema

    def read(self, positions: Sequence[int], *, writable: bool = False) -> pa.Table:  # noqa: ARG002
        """The columns at these positions, in this order; what is decoded here can be written to anyway."""
        with translated_parse_errors(self._source, "table"):
            rows = self._file.read([str(position) for position in positions])
            columns = [
                _as_it_was(rows.column(str(position)), self._shell.column(position)) for position in positions
            ]
            table = pa.Table.from_arrays(columns, schema=columns_of(self.schema, positions))
            table.validate(full=True)  # offsets, texts and codes: Arrow follows them without looking
            return table


def columns_of(schema: pa.Schema, positions: Sequence[int]) -> pa.Schema:
    """The schema of the columns at these positions, with all of its metadata."""
    return pa.schema([schema.field(position) for position in positions], metadata=schema.metadata)


def stream_table(stream: bytes) -> pa.Table:
    """The table of an Arrow stream, which is no more to be trusted than the Parquet around it."""
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    table.validate(full=True)
    for column in table.columns:
        check_dictionaries(column)
    return table


def check_dictionaries(column: pa.ChunkedArray) -> None:
    """Validate what a column's codes stand for, of which validating the column says nothing."""
    if pa.types.is_dictionary(column.type):
        for chunk in column.chunks:
            chunk.dictionary.validate(full=True)


def _shell(table: pa.Table) -> bytes:
    # A batch without rows still carries whole dictionaries; without any batch they would be left out.
    empty = [
        _chunk(column).slice(0, 0) if may_have_dictionary(column.type) else _chunk(without)
        for column, without in zip(table.columns, table.schema.empty_table().columns, strict=True)
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(empty, schema=table.schema))
    return cast("bytes", sink.getvalue().to_pybytes())


def may_have_dictionary(kind: pa.DataType) -> bool:
    """Whether values of this type may stand for those of a dictionary, which a part of no rows still has.

    Other types need none, and are not cut to no rows: Arrow would write where each of their texts begins.
    """
    return bool(pa.types.is_dictionary(kind) or pa.types.is_nested(kind))


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _codes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([chunk.indices for chunk in column.chunks], column.type.index_type)


def _as_it_was(column: pa.ChunkedArray, before: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = before.type
    if not pa.types.is_dictionary(kind):
        return column if column.type == kind else column.cast(kind)
    dictionary = _chunk(before).dictionary
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.cast(kind.index_type), dictionary, ordered=kind.ordered)
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, kind)


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
