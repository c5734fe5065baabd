"""Arrow tables in the store: small ones are one Parquet blob, large ones a blob for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from orchestrator.artifacts.codec import BlobCodec
from orchestrator.artifacts.codecs.columns import ColumnTable, goes_by_column, save_columns
from orchestrator.artifacts.codecs.parquet import ParquetTable, save_parquet
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digest_in


class TableCodec(BlobCodec):
    """A `pyarrow.Table`."""

    kind = "arrow"

    def __init__(self) -> None:
        super().__init__("Table", plain=False, exact=pa.Table)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if not isinstance(value, pa.Table):
            raise self.wrong(value)
        return {"codec": self.kind, **save_table(value, store)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        table = stored_table(tree, store)
        return table.read(range(len(table.schema)))


class StoredTable(Protocol):
    """A table in a store, of which nothing but the schema has been read."""

    @property
    def schema(self) -> pa.Schema: ...

    def read(self, positions: Sequence[int], *, writable: bool = False) -> pa.Table:
        """The columns at these positions, in this order; see `ColumnTable.read` for `writable`."""
        ...


def save_table(table: pa.Table, store: ArtifactStore) -> Tree:
    """Store a table; returns what its tree says of the blobs."""
    if goes_by_column(table):
        return {"parts": list(save_columns(table, store))}
    return {"digest": save_parquet(table, store)}


def stored_table(tree: Tree, store: ArtifactStore) -> StoredTable:
    """The table of a tree in which `save_table` has said where it is."""
    if "parts" in tree:
        return ColumnTable(tree["parts"], store)
    return ParquetTable(digest_in(tree), store)
