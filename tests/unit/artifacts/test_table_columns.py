"""Tables by column: what changed is written, what is named is read, and all of it comes back as it was."""

from __future__ import annotations

import datetime as dt
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import (
    AlteredArtifact,
    ArtifactStore,
    StoreError,
    UnsupportedType,
    WrongValue,
    decode,
    encode,
    holds_all,
)
from orchestrator.artifacts.codecs import columns
from orchestrator.artifacts.tree import Tree, digests_in
from orchestrator.authoring.errors import InvalidDefinition, MissingColumn
from orchestrator.authoring.table import Table

OLD = Path(__file__).with_name("old_blobs")

#: A column of so many rows of eight bytes is large enough for a blob of its own.
ROWS = columns.COLUMN_BYTES // 8


def numbers(count: int, rows: int = ROWS) -> pd.DataFrame:
    """A table of columns `c0`, `c1`, … that do not shrink, large enough to be stored by column."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({f"c{number}": rng.random(rows) for number in range(count)})


def blobs(store: ArtifactStore) -> set[str]:
    """The names of all blobs of a store in a folder."""
    return {path.name for path in Path(store.url, "blobs").rglob("*") if path.is_file()}


def saved(frame: pd.DataFrame, store: ArtifactStore) -> Tree:
    return encode(frame, pd.DataFrame, store)


def loaded(tree: Tree, store: ArtifactStore, hint: object = pd.DataFrame) -> pd.DataFrame:
    frame = decode(tree, hint, store)
    assert isinstance(frame, pd.DataFrame)
    return frame


def alter(path: Path) -> None:
    """Change a byte in the middle of a stored file."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def always_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of any size are stored by column."""
    monkeypatch.setattr(columns, "COLUMN_BYTES", 0)


# Size


def test_a_small_table_is_one_plain_parquet_blob(store: ArtifactStore) -> None:
    tree = saved(pd.DataFrame({"a": range(1000), "b": ["x"] * 1000}), store)
    assert list(tree) == ["codec", "digest"]
    assert len(blobs(store)) == 1
    assert pq.read_table(store.local_path(next(digests_in(tree)))).num_rows == 1000


def test_gaps_are_nulls_in_the_parquet_of_a_small_table(store: ArtifactStore) -> None:
    (digest,) = digests_in(saved(pd.DataFrame({"a": [1.5, np.nan], "b": [1.5, 2.5]}), store))
    table = pq.read_table(store.local_path(digest))
    assert [column.null_count for column in table.columns] == [1, 0]


def test_floats_keep_their_bits_and_names(store: ArtifactStore) -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000] * ROWS, "u8")
    frame = pd.DataFrame({("a", 1): bits.view("f8")})
    back = loaded(saved(frame, store), store)
    assert (back["a"][1].to_numpy().view("u8") == bits).all()
    pd.testing.assert_frame_equal(back, frame)


def test_a_large_table_is_a_blob_for_each_column(store: ArtifactStore) -> None:
    tree = saved(numbers(5), store)
    assert len(blobs(store)) == len(list(digests_in(tree))) == 5
    pd.testing.assert_frame_equal(loaded(tree, store), numbers(5))


# What is written


def test_only_the_changed_column_is_written(store: ArtifactStore) -> None:
    tree = saved(numbers(5), store)
    before = blobs(store)
    frame = loaded(tree, store)
    frame["c2"] *= 2
    saved(frame, store)
    assert len(blobs(store) - before) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.rename(columns={"c1": "other"}),
        lambda frame: frame[["c3", "c0", "c1"]],
        lambda frame: frame.drop(columns="c4"),
        lambda frame: frame.copy(),
        lambda frame: pd.concat([frame, frame["c0"].rename("again")], axis="columns"),
        lambda frame: pd.concat([frame.iloc[:100], frame.iloc[100:]]),
    ],
    ids=["rename", "reorder", "drop", "copy", "duplicate column", "cut and joined"],
)
def test_columns_that_stay_are_not_written_again(
    change: Callable[[pd.DataFrame], pd.DataFrame], store: ArtifactStore
) -> None:
    tree = saved(numbers(5), store)
    before = blobs(store)
    frame = change(loaded(tree, store))
    pd.testing.assert_frame_equal(loaded(saved(frame, store), store), frame)
    assert blobs(store) == before


def test_ten_steps_of_feature_engineering_keep_one_table_and_ten_columns(store: ArtifactStore) -> None:
    tree = saved(numbers(5), store)
    for step in range(10):
        frame = loaded(tree, store)
        frame[f"feature {step}"] = frame["c0"] ** (step + 2)
        tree = saved(frame, store)
    assert len(blobs(store)) == 15


def test_a_compressed_column_is_found_again_without_being_compressed(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = numbers(1).assign(word=np.resize(["red", "green", "blue"], ROWS))
    tree = saved(frame, store)
    monkeypatch.delattr(columns, "write_parquet")
    assert saved(loaded(tree, store), store) == tree


@pytest.mark.parametrize("note", [b"", b"{}", b'{"digest": "sha256:00", "size": 3}', b'{"digest": 5, "siz'])
def test_a_damaged_note_of_a_compressed_column_is_written_anew(note: bytes, store: ArtifactStore) -> None:
    frame = numbers(1).assign(word=np.resize(["red", "green", "blue"], ROWS))
    tree = saved(frame, store)
    (key,) = store.keys("columns")
    good = store.read(key)
    store.write(key, note)
    assert saved(frame, store) == tree
    assert store.read(key) == good


def test_a_compressed_column_that_was_lost_is_written_anew(store: ArtifactStore) -> None:
    frame = numbers(1).assign(word=np.resize(["red", "green", "blue"], ROWS))
    tree = saved(frame, store)
    shutil.rmtree(Path(store.url, "blobs"))
    assert saved(frame, store) == tree
    pd.testing.assert_frame_equal(loaded(tree, store), frame)


WORDS = [f"{place} {number}" for place in ("Berlin", "Paris", "Rome") for number in range(300)]


@pytest.mark.parametrize(
    "column",
    [
        np.resize(WORDS, ROWS),
        pd.Categorical(np.resize(WORDS, ROWS * 8)),
        np.random.default_rng(0).integers(0, 100, ROWS),
        np.random.default_rng(0).integers(0, 2, ROWS * 64).astype(bool),
    ],
    ids=["text", "categories", "small integers", "booleans"],
)
def test_what_shrinks_takes_no_more_than_a_tenth_more_than_in_one_parquet_file(
    column: Any, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"column": column})
    by_column = sum(store.local_path(digest).stat().st_size for digest in digests_in(saved(frame, store)))
    monkeypatch.setattr(columns, "COLUMN_BYTES", 1 << 40)
    whole = ArtifactStore(str(tmp_path / "other"))
    (digest,) = digests_in(saved(frame, whole))
    assert by_column <= 1.1 * whole.local_path(digest).stat().st_size


# What is read


def test_only_the_named_columns_are_read(store: ArtifactStore) -> None:
    tree = saved(numbers(5), store)
    kept = set(digests_in(saved(numbers(5)[["c3", "c1"]], store)))
    for path in Path(store.url, "blobs").rglob("*"):
        if path.is_file() and f"sha256:{path.name}" not in kept:
            path.unlink()
    frame = loaded(tree, store, Table["c3", "c1"])
    pd.testing.assert_frame_equal(frame, numbers(5)[["c3", "c1"]])


FRAME = pd.DataFrame(
    {
        "price": [1.5, np.nan, 3.0],
        "day": pd.to_datetime(pd.Series(["2024-01-01", None, "2024-01-03"])).to_numpy(),
        "shop": pd.Series(["a", None, "b"], dtype=object),
        "kind": pd.Categorical(["x", "y", "x"]),
        "band": pd.cut([1, 9, 2], [0, 5, 10]),
        "seen": pd.Series([dt.date(2024, 1, 1), None, None], dtype=object),
    },
    index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3)], names=["x", None]),
)
FRAME.attrs["source"] = "warehouse"


@pytest.mark.parametrize("names", [("price",), ("seen", "band"), ("kind", "price", "shop"), tuple(FRAME)])
def test_named_columns_of_a_small_table_are_those_of_the_frame(
    names: tuple[str, ...], store: ArtifactStore
) -> None:
    frame = loaded(saved(FRAME, store), store, Table[names])
    pd.testing.assert_frame_equal(frame, FRAME[list(names)])
    assert frame.attrs == FRAME.attrs


@pytest.mark.usefixtures("always_by_column")
@pytest.mark.parametrize("names", [("price",), ("seen", "band"), ("kind", "price", "shop"), tuple(FRAME)])
def test_named_columns_of_a_large_table_are_those_of_the_frame(
    names: tuple[str, ...], store: ArtifactStore
) -> None:
    frame = loaded(saved(FRAME, store), store, Table[names])
    pd.testing.assert_frame_equal(frame, FRAME[list(names)])
    assert frame.attrs == FRAME.attrs


def test_named_columns_are_read_in_lists_and_where_there_may_be_none(store: ArtifactStore) -> None:
    tree = encode([FRAME, FRAME], list[pd.DataFrame], store)
    price: Any = Table["price"]
    found: Any = decode(tree, list[pd.DataFrame], store, wanted=list[price])
    pd.testing.assert_frame_equal(found[1], FRAME[["price"]])
    optional = pd.DataFrame | None
    for value in (FRAME, None):
        found = decode(encode(value, optional, store), optional, store, wanted=price | None)
        assert found is None if value is None else list(found) == ["price"]


class Parts(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


def test_named_columns_are_read_of_a_part_of_a_value(store: ArtifactStore) -> None:
    tree = encode(Parts(FRAME, numbers(2)), Parts, store)
    found = decode(tree, Parts, store, ("test",), wanted=Table["c1"])
    pd.testing.assert_frame_equal(found, numbers(2)[["c1"]])  # type: ignore[arg-type]


def test_a_stage_that_returns_named_columns_keeps_only_those(store: ArtifactStore) -> None:
    tree = encode(FRAME, Table["price"], store)
    pd.testing.assert_frame_equal(loaded(tree, store), FRAME[["price"]])


@pytest.mark.parametrize("by_column", [False, True])
def test_a_missing_column_is_named_with_those_that_are_there(
    by_column: bool, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_column:
        monkeypatch.setattr(columns, "COLUMN_BYTES", 0)
    tree = saved(FRAME[["price", "day"]], store)
    with pytest.raises(MissingColumn) as caught:
        loaded(tree, store, Table["day", "prize"])
    assert str(caught.value) == "the table has no column 'prize'; its columns are 'price', 'day'"
    assert caught.value.hint == "Did you mean 'price'?"


@pytest.mark.parametrize(
    "frame", [pd.DataFrame([[1, 2]]), pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("0", "1")]))]
)
def test_a_column_that_has_no_text_for_a_name_is_not_found_by_one(
    frame: pd.DataFrame, store: ArtifactStore
) -> None:
    with pytest.raises(MissingColumn, match="no column '0'"):
        loaded(saved(frame, store), store, Table["0"])


@pytest.mark.parametrize("names", [(), 3, ("a", 3), ("a", "a")])
def test_what_names_no_columns_is_refused(names: Any) -> None:
    with pytest.raises(InvalidDefinition, match=r"Table\[.*\] names"):
        Table[names]


def test_a_table_without_names_cannot_be_stored(store: ArtifactStore) -> None:
    with pytest.raises(UnsupportedType, match="Table"):
        encode(FRAME, Table, store)


# In place


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.__setitem__("c0", frame["c0"] + 1),
        lambda frame: frame.__setitem__("c0", 1.0),
        lambda frame: frame.loc.__setitem__((0, "c0"), 1.0),
        lambda frame: frame.iloc.__setitem__((slice(0, 99), 0), 1.0),
        lambda frame: frame.mask(frame["c0"] > 0.5, 0.0, inplace=True),
        lambda frame: frame.fillna({"gap": 0.0}, inplace=True),
        lambda frame: frame["c0"].array.__setitem__(0, 7.0),
        lambda frame: frame["c0"].to_numpy().__setitem__(0, 7.0),
        lambda frame: frame.values.__setitem__((0, 0), 7.0),
    ],
    ids=["add", "set", "loc", "iloc", "mask", "fillna", "array", "to_numpy", "values"],
)
def test_a_stage_that_changes_its_argument_changes_neither_the_store_nor_another_input(
    change: Callable[[pd.DataFrame], object], store: ArtifactStore
) -> None:
    before = numbers(2).assign(gap=[np.nan, *np.random.default_rng(1).random(ROWS - 1)])
    tree = saved(before, store)
    mine, another = loaded(tree, store), loaded(tree, store)
    try:
        change(mine)
    except ValueError as error:  # pandas' own views are read-only, whatever the frame was made of
        assert "read-only" in str(error)  # noqa: PT017
    pd.testing.assert_frame_equal(another, before)
    assert holds_all(tree, ArtifactStore(store.url))
    pd.testing.assert_frame_equal(loaded(tree, store), before)


def test_a_value_can_be_set_in_place(store: ArtifactStore) -> None:
    frame = loaded(saved(numbers(2), store), store)
    frame.loc[0, "c0"] = 5.0
    assert frame["c0"][0] == 5.0
    assert loaded(saved(frame, store), store)["c0"][0] == 5.0


def test_columns_can_be_added_to_a_wide_table_without_a_warning(store: ArtifactStore) -> None:
    frame = loaded(saved(numbers(70), store), store)
    for number in range(30):
        frame[f"new {number}"] = frame["c0"] + number
    frame.loc[0, "c0"] = 5.0
    assert frame.shape == (ROWS, 100)


def test_many_tables_are_read_with_few_open_files(store: ArtifactStore) -> None:
    tree = saved(numbers(4), store)
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * open_now + 60, most))
    try:
        frames = [loaded(tree, store) for _ in range(30)]
        assert len(list(Path("/dev/fd").iterdir())) < open_now + 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    frames[-1].loc[0, "c0"] = 5.0
    pd.testing.assert_frame_equal(frames[-2], numbers(4))
    pd.testing.assert_frame_equal(loaded(tree, store), numbers(4))


# Whatever is done to a table


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "add": lambda frame: frame.assign(added=np.arange(len(frame)) / 3),
    "add text": lambda frame: frame.assign(text=[f"row {number}" for number in range(len(frame))]),
    "add objects": lambda frame: frame.assign(
        objects=pd.Series(([dt.date(2024, 1, 1)] + [None] * len(frame))[: len(frame)], frame.index, object)
    ),
    "add gaps": lambda frame: frame.assign(gaps=pd.array([None] * len(frame), "Int64")),
    "drop": lambda frame: frame.iloc[:, 1:] if frame.shape[1] > 1 else frame,
    "rename": lambda frame: frame.set_axis([f"{name}'" for name in frame.columns], axis="columns"),
    "reorder": lambda frame: frame.iloc[:, ::-1],
    "to category": lambda frame: (
        frame
        if frame.empty
        else frame.assign(**{frame.columns[0]: pd.Categorical(frame.iloc[:, 0].astype(str).fillna("none"))})
    ),
    "to text": lambda frame: frame.assign(**{frame.columns[-1]: frame.iloc[:, -1].astype(str)}),
    "to float32": lambda frame: frame.astype(
        {name: "float32" for name, dtype in frame.dtypes.items() if dtype == np.dtype(float)}
    ),
    "duplicate rows": lambda frame: pd.concat([frame, frame]),
    "shuffle rows": lambda frame: frame.iloc[::-1],
    "no rows": lambda frame: frame.iloc[:0],
    "some rows": lambda frame: frame.iloc[1:3],
    "levels": lambda frame: frame.set_axis(
        pd.MultiIndex.from_product([["a"], np.arange(len(frame))], names=["one", "two"])
    ),
    "plain index": lambda frame: frame.reset_index(drop=True),
    "set a value": lambda frame: frame.copy() if frame.empty else _with_first_set(frame.copy()),
    "divide by zero": lambda frame: frame.assign(nan=np.zeros(len(frame)) / np.nan),
}


def _with_first_set(frame: pd.DataFrame) -> pd.DataFrame:
    frame.iloc[:1, 0] = frame.iloc[-1:, 0].to_numpy()
    return frame


@pytest.mark.usefixtures("always_by_column")
@pytest.mark.parametrize("url", ["memory://", "folder"])
def test_a_table_through_any_changes_is_what_it_is_in_memory(url: str, tmp_path: Path) -> None:
    store = ArtifactStore(url if "://" in url else str(tmp_path))
    start = pd.DataFrame(
        {
            "number": np.arange(6),
            "share": [0.5, np.nan, 1.5, -0.0, np.inf, 2.0],
            "day": pd.date_range("2024-01-01", periods=6, tz="Europe/Berlin"),
            "shop": ["a", None, "b", "a", "a", ""],
        }
    )

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=6))
    def check(names: list[str]) -> None:
        in_memory, tree = start, saved(start, store)
        for name in names:
            in_memory = CHANGES[name](in_memory)
            tree = saved(CHANGES[name](loaded(tree, store)), store)
        found = loaded(tree, store)
        pd.testing.assert_frame_equal(found, in_memory)
        assert tree == saved(in_memory, store)
        chosen = list(in_memory.columns[::2])
        pd.testing.assert_frame_equal(loaded(tree, store, Table[tuple(chosen)]), in_memory[chosen])

    check()


# Arrow, series, and what was stored before


def test_an_arrow_table_is_stored_by_column(store: ArtifactStore) -> None:
    table = pa.Table.from_pandas(numbers(3, 2 * ROWS)).append_column(
        "words", pa.array(np.resize(["a", "b"], 2 * ROWS)).dictionary_encode()
    )
    tree = encode(table, pa.Table, store)
    before = blobs(store)
    assert len(before) == 4
    back = decode(tree, pa.Table, store)
    assert back.equals(table, check_metadata=True)  # type: ignore[attr-defined]
    changed = table.set_column(0, "c0", pa.array(np.arange(2 * ROWS) / 7))
    assert decode(encode(changed, pa.Table, store), pa.Table, store).equals(changed)  # type: ignore[attr-defined]
    assert len(blobs(store) - before) == 1


def test_a_table_in_chunks_has_the_blobs_of_the_same_table_in_one(store: ArtifactStore) -> None:
    table = pa.Table.from_pandas(numbers(2))
    chunks = pa.concat_tables([table.slice(0, 1000), table.slice(1000)])
    assert encode(table, pa.Table, store) == encode(chunks, pa.Table, store)


def test_a_large_series_comes_back_the_same(store: ArtifactStore) -> None:
    series = numbers(1)["c0"]
    tree = encode(series, pd.Series, store)
    assert "parts" in tree
    back = decode(tree, pd.Series, store)
    assert isinstance(back, pd.Series)
    pd.testing.assert_series_equal(back, series)


def test_a_frame_that_was_stored_before_tables_went_by_column_is_read(store: ArtifactStore) -> None:
    frame = pd.DataFrame(
        {
            "price": [1.5, None, 3.25],
            "count": np.array([1, 2, 3], "i2"),
            "shop": ["a", None, "b"],
            "level": pd.Categorical(["lo", "hi", None], categories=["hi", "lo", "none"], ordered=True),
        },
        index=pd.Index(["x", "y", "z"], name="key"),
    )
    tree: Tree = {"codec": "frame", "digest": store.put(OLD / "frame.parquet")}
    back = loaded(tree, store)
    pd.testing.assert_frame_equal(back[list(frame)], frame)
    assert [str(dtype) for dtype in back.dtypes[4:]] == ["datetime64[s, Europe/Berlin]", "object", "category"]
    assert back.attrs == {"source": "warehouse"}
    pd.testing.assert_frame_equal(loaded(tree, store, Table["level", "price"]), frame[["level", "price"]])


def test_an_arrow_table_that_was_stored_before_tables_went_by_column_is_read(store: ArtifactStore) -> None:
    table: Any = decode({"codec": "arrow", "digest": store.put(OLD / "arrow.parquet")}, pa.Table, store)
    assert table.schema.metadata == {b"source": b"warehouse"}
    assert table.column("words").to_pylist() == ["a", "b"]
    assert table.schema.field("seconds").type == pa.timestamp("s", "Europe/Berlin")


# Damage


def test_an_altered_column_is_refused_where_it_is_read(store: ArtifactStore) -> None:
    tree = saved(numbers(3), store)
    alter(store.local_path(list(digests_in(tree))[1]))
    other = ArtifactStore(store.url)
    with pytest.raises(AlteredArtifact):
        loaded(tree, other)
    assert list(loaded(tree, other, Table["c0", "c2"])) == ["c0", "c2"]
    with pytest.raises(AlteredArtifact):
        loaded(tree, other, Table["c1"])


def test_a_lost_column_is_missed_when_all_of_a_value_is_asked_for(store: ArtifactStore) -> None:
    tree = saved(numbers(3), store)
    assert holds_all(tree, store)
    store.local_path(list(digests_in(tree))[2]).unlink()
    assert not holds_all(tree, store)


def test_columns_of_different_lengths_are_one_clear_error(store: ArtifactStore) -> None:
    long, short = (saved(frame, store)["parts"] for frame in (numbers(2), numbers(2, ROWS + 1)))
    assert isinstance(long, list)
    with pytest.raises(StoreError, match="is no table that can be read"):
        loaded({"codec": "frame", "parts": [*long[:2], *short[2:]]}, store)  # type: ignore[index, misc]


def test_a_column_too_few_is_one_clear_error(store: ArtifactStore) -> None:
    parts = saved(numbers(2), store)["parts"]
    assert isinstance(parts, list)
    with pytest.raises(StoreError, match="has 1 columns, and a schema of 2"):
        loaded({"codec": "frame", "parts": parts[:2]}, store)


def test_a_column_of_another_kind_is_one_clear_error(store: ArtifactStore) -> None:
    parts = saved(numbers(2), store)["parts"]
    assert isinstance(parts, list)
    other: Tree = {"codec": "column", "digest": store.put(b"ARROW1 nothing"), "size": 14}
    with pytest.raises(StoreError, match="is no column that can be read"):
        loaded({"codec": "frame", "parts": [*parts[:2], other]}, store)


def test_what_arrow_cannot_write_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="two columns named"):
        saved(pd.concat([numbers(1), numbers(1)], axis="columns"), store)
