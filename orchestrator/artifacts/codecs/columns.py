"""Large tables by column: each column is a blob of its own, so that one that did not change is written once.

A column is an Arrow file, which is memory-mapped where the store is a folder; or, if a sample of it shrinks,
the Parquet blob of a table of that column alone. Its name is in neither, but in the table's schema.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa

from orchestrator.artifacts.codecs.files import BytesCodec
from orchestrator.artifacts.codecs.parquet import (
    ParquetTable,
    check_dictionaries,
    columns_of,
    may_have_dictionary,
    write_parquet,
)
from orchestrator.artifacts.digest import Digest, digest_of_pieces, hex_of
from orchestrator.artifacts.errors import StoreError, WrongKey, WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.keys import COLUMN_NOTES
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Json, Tree, digest_in

T = TypeVar("T")
R = TypeVar("R")

#: A table is stored by column if its columns have so many bytes in Arrow, on average. Below, one Parquet blob
#: is written more quickly than a file for each column.
COLUMN_BYTES: Final = 512 * 1024
#: Columns of a table of so many bytes are hashed, read and written side by side.
_SIDE_BY_SIDE_BYTES: Final = 16_000_000
_THREADS: Final = 2

#: A column is compressed if a sample of it shrinks to less than this share. For numbers in a folder it must
#: shrink more, as they are read without a copy if they are not compressed.
_SHARE_OF_NUMBERS: Final = 0.5
_SHARE: Final = 0.9
#: Rows of the sample: a third of them from the start, the middle and the end each.
_SAMPLE: Final = 48_000

_SCHEMA: Final = BytesCodec()
_ALTERED: Final = "Its manifest was altered: run its stage again."


def goes_by_column(table: pa.Table) -> bool:
    """Whether a table is large enough to be stored by column."""
    return bool(table.num_columns) and table.nbytes >= COLUMN_BYTES * table.num_columns


def save_columns(table: pa.Table, store: ArtifactStore) -> list[Tree]:
    """Store each column that is not in the store yet; returns the trees of the schema and of the columns."""
    try:
        table = table.unify_dictionaries()
        schema = table.schema.serialize().to_pybytes()
        columns = _mapped(lambda column: _save(column, store), table.columns, table.nbytes)
    except pa.ArrowException as error:
        raise WrongValue(f"is a table that Arrow cannot write: {str(error).partition(chr(10))[0]}") from error
    return [_SCHEMA.encode(schema, store), *columns]


class ColumnTable:
    """A table that `save_columns` wrote: only the columns that are asked for are read."""

    def __init__(self, parts: Json, store: ArtifactStore) -> None:
        schema, *self._columns = _checked(parts)
        self._store = store
        with translated_parse_errors("the schema of a stored table", "schema"):
            self.schema: pa.Schema = pa.ipc.read_schema(pa.py_buffer(_SCHEMA.decode(schema, store)))
        if len(self.schema) != len(self._columns):
            raise StoreError(
                f"a stored table has {len(self._columns)} columns, and a schema of {len(self.schema)}",
                hint=_ALTERED,
            )

    def read(self, positions: Sequence[int], *, writable: bool = False) -> pa.Table:
        """The columns at these positions, in this order.

        With `writable`, numbers without gaps can be written to in place: that changes neither the store's
        file nor what others read from it. It takes an open file for each column, while there are enough.
        """
        trees = [self._columns[position] for position in positions]
        size = sum(size for tree in trees if isinstance(size := tree.get("size"), int))
        columns = _mapped(lambda tree: _load(tree, self._store, writable=writable), trees, size)
        with translated_parse_errors("a stored table", "table"):
            return pa.Table.from_arrays(columns, schema=columns_of(self.schema, positions))


def _checked(parts: Json) -> list[Tree]:
    trees = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    if not trees or trees != parts:
        raise StoreError("a stored table has no list of its columns", hint=_ALTERED)
    return trees


def _mapped(function: Callable[[T], R], items: Sequence[T], size: int) -> list[R]:
    """The results of a function that leaves the interpreter's lock most of the time."""
    if size < _SIDE_BY_SIDE_BYTES or len(items) < _THREADS:
        return [function(item) for item in items]
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(function, items))


def _save(column: pa.ChunkedArray, store: ArtifactStore) -> Tree:
    pieces = _arrow_file(column)
    digest, size = digest_of_pieces(pieces), sum(piece.nbytes for piece in pieces)
    tree: Tree = {"codec": "column", "size": size}
    if store.is_stored(digest, size):
        return {**tree, "digest": digest}
    if (compressed := _compressed_before(digest, store)) is not None:
        return {**tree, "form": "parquet", "digest": compressed}
    if _shrinks(column, store):
        compressed = _save_compressed(column, digest, store)
        return {**tree, "form": "parquet", "digest": compressed}
    store.put_pieces(digest, pieces)
    return {**tree, "digest": digest}


def _load(tree: Tree, store: ArtifactStore, *, writable: bool) -> pa.ChunkedArray:
    digest = digest_in(tree)
    if tree.get("form") == "parquet":
        return ParquetTable(digest, store).read([0]).column(0)
    path = store.local_path(digest)
    with translated_parse_errors(f"artifact {digest}", "column"):
        if writable:
            memory = _private_memory(path)
            column = _column_in(pa.py_buffer(memory))
            column = pa.chunked_array([_over(memory, chunk) for chunk in column.chunks], column.type)
        else:
            with pa.memory_map(str(path)) as memory:
                column = _column_in(memory)
        column.validate(full=True)
        check_dictionaries(column)
        return column


def _column_in(source: object) -> pa.ChunkedArray:
    return pa.ipc.open_file(source).read_all().column(0)


def _private_memory(path: Path) -> mmap.mmap | bytearray:
    """What is in a file, in memory that can be written to: mapped, unless many files are open already."""
    with path.open("rb") as file:
        if _may_keep_open():
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        memory = bytearray(path.stat().st_size)
        file.readinto(memory)
        return memory


def _may_keep_open() -> bool:
    # A mapping keeps its file open (before Python 3.13 always): the other half is for the stage.
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit == resource.RLIM_INFINITY or 2 * len(os.listdir("/dev/fd")) < limit  # noqa: PTH208


def _over(memory: mmap.mmap | bytearray, chunk: pa.Array) -> pa.Array:
    """The same array over memory that can be written to, which an Arrow reader never hands out."""
    if chunk.null_count or not pa.types.is_primitive(chunk.type):
        return chunk
    values = chunk.buffers()[1]
    start = values.address - pa.py_buffer(memory).address
    own = pa.py_buffer(memoryview(memory)[start : start + values.size])
    return pa.Array.from_buffers(chunk.type, len(chunk), [None, own], offset=chunk.offset)


class _Pieces:
    """A file for Arrow to write to that keeps the column's own memory instead of copying it."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[memoryview] = []

    def write(self, piece: bytes | pa.Buffer) -> int:
        self.pieces.append(memoryview(piece).cast("B"))
        return len(piece)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _arrow_file(column: pa.ChunkedArray) -> list[memoryview]:
    """The bytes of the Arrow file of one column, the same however the column is divided into chunks."""
    schema = pa.schema([pa.field("", column.type)])
    target = _Pieces()
    with pa.ipc.new_file(pa.PythonFile(target, mode="w"), schema) as file:
        for chunk in _whole(column):
            file.write_batch(pa.RecordBatch.from_arrays([chunk], schema=schema))
    return target.pieces


def _whole(column: pa.ChunkedArray) -> list[pa.Array]:
    """The column as one array, or as several if its texts are too long for one.

    It is copied unless it is written as a copy of it would be, so that equal columns are equal bytes: bitmaps
    (of gaps, of booleans) may have anything beyond their end, and slices are written as they lie.
    """
    kind = column.type
    if not len(column) and not may_have_dictionary(kind):
        column = pa.schema([pa.field("", kind)]).empty_table().column(0)
    simple = (pa.types.is_primitive(kind) and not pa.types.is_boolean(kind)) or pa.types.is_large_string(kind)
    if simple and column.num_chunks == 1 and not column.null_count and not column.chunk(0).offset:
        return [column.chunk(0)]
    whole = column.combine_chunks()
    return list(whole.chunks) if isinstance(whole, pa.ChunkedArray) else [whole]


def _alone(column: pa.ChunkedArray) -> pa.Table:
    return pa.table([column], schema=pa.schema([pa.field("", column.type)]))


def _shrinks(column: pa.ChunkedArray, store: ArtifactStore) -> bool:
    """Whether the column is to be compressed, by what becomes of a sample."""
    third = min(_SAMPLE // 3, len(column) // 3)
    starts = (0, (len(column) - third) // 2, len(column) - third)
    sample = pa.chunked_array(
        [chunk for start in starts for chunk in column.slice(start, third).chunks], column.type
    )
    sink = pa.BufferOutputStream()
    write_parquet(_alone(_without_categories(sample)), sink)
    share = _SHARE_OF_NUMBERS if store.is_local and pa.types.is_primitive(column.type) else _SHARE
    return bool(sink.tell() < share * sample.nbytes)


def _without_categories(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return pa.chunked_array([chunk.indices for chunk in column.chunks], column.type.index_type)
    return column


def _note_key(digest: Digest) -> str:
    """Where it is noted that the column whose Arrow file has this digest is kept compressed."""
    name = hex_of(digest)
    return f"{COLUMN_NOTES}/{name[:2]}/{name}.json"


def _save_compressed(column: pa.ChunkedArray, digest: Digest, store: ArtifactStore) -> Digest:
    """Store the column as Parquet, and note by the digest of its Arrow file that it is there."""
    with store.spool() as file:
        write_parquet(_alone(column), file)
        size = file.tell()
        compressed = store.put(file)
    note = {"digest": compressed, "size": size}
    store.write(_note_key(digest), json.dumps(note).encode())
    return compressed


def _compressed_before(digest: Digest, store: ArtifactStore) -> Digest | None:
    """The compressed blob of a column that was stored before, if it is still there."""
    note = store.read(_note_key(digest))
    try:
        plain = json.loads(note or b"{}")
        compressed, size = Digest(str(plain["digest"])), int(plain["size"])
        return compressed if store.is_stored(compressed, size) else None
    except (ValueError, LookupError, TypeError, WrongKey):  # nothing, or cut short by a power cut
        return None
