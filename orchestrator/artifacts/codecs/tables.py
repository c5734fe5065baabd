"""Arrow tables as Parquet that come back exactly as they were, and their codec."""

from __future__ import annotations

import base64
from typing import Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.artifacts.codec import BlobCodec
from orchestrator.artifacts.digest import Digest
from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digest_in

#: Parquet forgets some of Arrow's types: seconds, categories that are not text, categories that no row has.
#: The table without its rows, as an Arrow stream, is kept under this name to bring them back.
_SHELL: Final = b"orchestrator.shell"


class TableCodec(BlobCodec):
    """A `pyarrow.Table`."""

    kind = "arrow"

    def __init__(self) -> None:
        super().__init__("Table", plain=False, exact=pa.Table)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if not isinstance(value, pa.Table):
            raise self.wrong(value)
        return {"codec": self.kind, "digest": save_table(value, store)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        return load_table(digest_in(tree), store)


def save_table(table: pa.Table, store: ArtifactStore) -> Digest:
    """Write the table as one Parquet blob."""
    try:
        table = table.unify_dictionaries()
        metadata = {**(table.schema.metadata or {}), _SHELL: base64.b64encode(_shell(table))}
        columns = [_codes(column) for column in table.columns]
        rows = pa.Table.from_arrays(columns, names=[str(index) for index in range(table.num_columns)])
        with store.spool() as file:
            pq.write_table(rows.replace_schema_metadata(metadata), file, compression="zstd")
            return store.put(file)
    except pa.ArrowException as error:
        raise WrongValue(f"is a table that Parquet cannot hold: {_line(error)}") from error


def load_table(digest: Digest, store: ArtifactStore) -> pa.Table:
    """The table of a blob that `save_table` wrote."""
    path = store.local_path(digest)
    with translated_parse_errors(f"artifact {digest}", "table"):
        rows = pq.ParquetFile(path, memory_map=True).read()
        shell = stream_table(base64.b64decode(rows.schema.metadata[_SHELL]))
        columns = [
            _as_it_was(column, before) for column, before in zip(rows.columns, shell.columns, strict=True)
        ]
        table = pa.Table.from_arrays(columns, schema=shell.schema)
        table.validate(full=True)  # offsets, texts and codes: Arrow follows them without looking
        return table


def stream_table(stream: bytes) -> pa.Table:
    """The table of an Arrow stream, which is no more to be trusted than the Parquet around it."""
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    table.validate(full=True)
    for column in table.columns:
        for chunk in column.chunks:
            _check_dictionary(chunk)
    return table


def _shell(table: pa.Table) -> bytes:
    # A batch without rows still carries whole dictionaries; without any batch they would be left out.
    empty = [_chunk(column).slice(0, 0) for column in table.columns]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(empty, schema=table.schema))
    return cast("bytes", sink.getvalue().to_pybytes())


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


def _check_dictionary(chunk: pa.Array) -> None:
    """Validating a column says nothing of the dictionary that its codes stand for."""
    if pa.types.is_dictionary(chunk.type):
        chunk.dictionary.validate(full=True)


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
