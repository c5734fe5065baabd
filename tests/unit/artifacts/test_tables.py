"""Tables and columns: every type that comes back is the one that went in, or the value is refused by name."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as pdst
from pandas.tseries.offsets import BusinessHour, CustomBusinessDay, DateOffset

from orchestrator.artifacts import AlteredArtifact, ArtifactStore, StoreError, WrongValue, decode, encode

FRAMES: dict[str, pd.DataFrame] = {
    "numbers": pd.DataFrame(
        {"i": [1, 2], "u": np.array([1, 2], "u1"), "f": [0.5, np.nan], "h": np.array([1, 2], "f2")}
    ),
    "booleans": pd.DataFrame({"b": [True, False]}),
    "nullable": pd.DataFrame(
        {
            "i": pd.array([1, None], "Int64"),
            "b": pd.array([True, None], "boolean"),
            "f": pd.array([0.5, None], "Float32"),
            "a": pd.array([1, None], "int64[pyarrow]"),
        }
    ),
    "text": pd.DataFrame({"a": ["x", None], "b": pd.array(["x", None], "string")}),
    "text as objects": pd.DataFrame(
        {"a": pd.Series(["x", None], dtype=object), "b": pd.Series(["x", np.nan], dtype=object)}
    ),
    "booleans as objects": pd.DataFrame(
        {"a": pd.Series([True, None], dtype=object), "b": pd.Series([True, False], dtype=object)}
    ),
    "nothing as objects": pd.DataFrame({"a": pd.Series([None, None], dtype=object)}),
    "dates and decimals": pd.DataFrame(
        {"d": [dt.date(2020, 1, 1), None], "x": [Decimal("1.20"), None], "b": [b"x", None]}
    ),
    "categories": pd.DataFrame(
        {
            "text": pd.Categorical(["b", None], categories=["z", "b", "a"], ordered=True),
            "number": pd.Categorical([5, 1], categories=[7, 5, 1]),
            "time": pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"])),
            "interval": pd.cut([1, 9], [0, 5, 10]),
        }
    ),
    "categories without rows": pd.DataFrame({"c": pd.Categorical([], categories=["z", "b"])}),
    "times": pd.DataFrame(
        {
            "naive": pd.to_datetime(pd.Series(["2020-01-01", None])),
            "zone": pd.to_datetime(pd.Series(["2020-01-01", None])).dt.tz_localize("Europe/Berlin"),
            "utc ns": pd.date_range("2020-01-01", periods=2, tz="UTC", unit="ns"),
            "seconds": pd.date_range("2020-01-01", periods=2, unit="s"),
            "seconds in a zone": pd.date_range("2020-01-01", periods=2, unit="s", tz="Asia/Kathmandu"),
            "duration": pd.to_timedelta([1, None], unit="s"),
            "period": pd.period_range("2020-01", periods=2, freq="M"),
        }
    ),
    "interval": pd.DataFrame({"i": pd.interval_range(0, 2)}),
    "range index": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(4, 8, 2, name="r")),
    "named index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="a")),
    "object index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], dtype=object)),
    "time index": pd.DataFrame(
        {"a": [1, 2]}, index=pd.date_range("2020", periods=2, freq="D", tz="Europe/Berlin")
    ),
    "category index": pd.DataFrame({"a": [1]}, index=pd.CategoricalIndex(["b"], categories=["z", "b"])),
    "levels": pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])
    ),
    "column levels": pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["x", "y"])
    ),
    "number columns": pd.DataFrame(np.zeros((2, 3))),
    "named columns": pd.DataFrame({"a": [1]}).rename_axis(columns="features"),
    "steps of business days": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2, freq="B")),
    "steps of durations": pd.DataFrame({"a": [1, 2]}, index=pd.timedelta_range(0, periods=2, freq="2h")),
    "steps without rows": pd.DataFrame({"a": []}, index=pd.date_range("2024", periods=0, freq="D")),
    "time columns": pd.DataFrame([[1, 2]], columns=pd.date_range("2024", periods=2, freq="D", tz="UTC")),
    "range columns": pd.DataFrame([[1, 2]], columns=pd.RangeIndex(5, 9, 2, name="r")),
    "object columns": pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], dtype=object)),
    "kinds of missing": pd.DataFrame(
        {
            "na": pd.Series(["x", pd.NA], dtype=object),
            "nat": pd.Series([dt.date(2020, 1, 1), pd.NaT], dtype=object),
        }
    ),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype=float), "b": pd.Series([], dtype=str)}),
    "no columns": pd.DataFrame(index=range(3)),
    "nothing": pd.DataFrame(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back_the_same(name: str, store: ArtifactStore) -> None:
    frame = FRAMES[name]
    back = decode(encode(frame, pd.DataFrame, store), pd.DataFrame, store)
    assert isinstance(back, pd.DataFrame)
    pd.testing.assert_frame_equal(back, frame)
    for column in frame.columns[frame.dtypes == np.dtype(object)]:
        assert [type(value) for value in back[column]] == [type(value) for value in frame[column]]


def test_a_frame_keeps_its_attributes_and_flags(store: ArtifactStore) -> None:
    frame = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    frame.attrs.update(source="warehouse", limits=[1, 2.5, None], nested={"deep": True})
    back = decode(encode(frame, pd.DataFrame, store), pd.DataFrame, store)
    assert isinstance(back, pd.DataFrame)
    assert back.attrs == frame.attrs
    assert not back.flags.allows_duplicate_labels
    column = decode(encode(frame["a"], pd.Series, store), pd.Series, store)
    assert isinstance(column, pd.Series)
    assert column.attrs == frame["a"].attrs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (1, "a"),
        (None, 1),
        ("a", (1, 2)),
        ("a", {1: 2}),
        ("a", {1, 2}),
        ("a", np.float64(1)),
        ("a", dt.date.today()),
    ],
)
@pytest.mark.parametrize("hint", [pd.DataFrame, pd.Series])
def test_attributes_that_json_would_change_are_refused(
    name: Any, value: object, hint: type, store: ArtifactStore
) -> None:
    table = hint({"a": [1]})
    table.attrs[name] = value
    with pytest.raises(WrongValue, match=r"attrs\[.*\] is no JSON value"):
        encode(table, hint, store)


COLUMNS = [
    pdst.column("i", dtype="int64"),
    pdst.column("f", dtype="float64"),
    pdst.column("b", dtype="bool"),
    pdst.column(
        "t", elements=st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), dtype="datetime64[us]"
    ),
    pdst.column("s", elements=st.text(st.characters(codec="utf-8")) | st.none(), dtype="str"),
]


def test_any_frame_comes_back_the_same() -> None:
    store = ArtifactStore("memory://")

    @settings(max_examples=40, deadline=None)
    @given(pdst.data_frames(COLUMNS))
    def check(frame: pd.DataFrame) -> None:
        back = decode(encode(frame, pd.DataFrame, store), pd.DataFrame, store)
        pd.testing.assert_frame_equal(back, frame)  # type: ignore[arg-type]

    check()


def by_index(index: pd.Index[Any]) -> pd.DataFrame:
    return pd.DataFrame({"a": range(len(index))}, index=index)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame({"ok": [1, 2], "mix": pd.Series([1, "a"], dtype=object)}),
            r"column 'mix' holds Python objects \(mixed-integer\)",
        ),
        (
            pd.DataFrame({"n": pd.Series([1, None], dtype=object)}),
            r"column 'n' holds Python objects \(integer\)",
        ),
        (pd.DataFrame({"l": [[1], [2, 3]]}), r"column 'l' holds Python objects \(mixed\)"),
        (pd.DataFrame({"c": [1j]}), "complex"),
        (pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}), "Sparse"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns named 'a'"),
        (
            pd.DataFrame([[1, 2]], columns=pd.Index([1, "a"], dtype=object)),
            "column names are of several types",
        ),
        (
            by_index(pd.date_range("2024", periods=2, freq=CustomBusinessDay(holidays=["2024-01-02"]))),
            "index with the frequency <CustomBusinessDay>",
        ),
        (
            by_index(pd.date_range("2024", periods=2, freq=BusinessHour(start="10:00"))),
            "index with the frequency <BusinessHour",
        ),
        (by_index(pd.Index([(1, 2), (3, 4)], tupleize_cols=False)), "index .*'object'"),
        (by_index(pd.MultiIndex.from_arrays([[1, 2]])), "index .*'int64'"),
        (by_index(pd.Index([1, "a"], dtype=object)), r"index \(object\) cannot be stored"),
        (by_index(pd.Index([1, 2], name=("a", 1))), "index "),
        (by_index(pd.CategoricalIndex(pd.cut([1, 9], [0, 5, 10]))), r"index \(category of interval"),
        (
            pd.DataFrame([[1]], columns=pd.date_range("2024", periods=1, freq=DateOffset(days=1, hours=1))),
            "column names with the frequency",
        ),
        (pd.DataFrame([[1]], columns=pd.PeriodIndex(["2024-01"], freq="M")), r"column names \(period\)"),
        (pd.DataFrame([[1, 2]], columns=pd.CategoricalIndex(["a", "b"])), r"column names \(categorical\)"),
        (
            pd.DataFrame({"n": pd.Series(["a", None, np.nan], dtype=object)}),
            "column 'n' has several kinds of missing values",
        ),
        (
            pd.DataFrame({"d": pd.Series([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)], dtype=object)}),
            "column 'd' holds datetime.datetime among its date values",
        ),
        (
            pd.DataFrame({"b": pd.Series([np.bool_(True), False], dtype=object)}),
            "column 'b' holds numpy.bool among its boolean values",
        ),
        (
            pd.DataFrame({"c": pd.Categorical([1, "a"])}),
            r"column 'c' \(category of object\) cannot be stored",
        ),
        (pd.DataFrame({"t": ["caf\udce9"]}, dtype=object), r"column 't' \(object\) cannot be stored"),
    ],
)
def test_a_frame_that_would_change_is_refused_with_its_column(
    frame: pd.DataFrame, message: str, store: ArtifactStore
) -> None:
    with pytest.raises(WrongValue, match=message):
        encode(frame, pd.DataFrame, store)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2], name="a"),
        pd.Series([0.5, None]),
        pd.Series(["x", None], index=["p", "q"], name=3),
        pd.Series(pd.Categorical(["b"], categories=["z", "b"]), name="c"),
        pd.Series([], dtype="Int64"),
        pd.Series([1], name="value", index=pd.Index([7], name="value")),
    ],
)
def test_a_column_comes_back_the_same(column: pd.Series[Any], store: ArtifactStore) -> None:
    back = decode(encode(column, pd.Series, store), pd.Series, store)
    assert isinstance(back, pd.Series)
    pd.testing.assert_series_equal(back, column)


TABLE = pa.table(
    {
        "seconds": pa.array([1, None], pa.timestamp("s", "Europe/Berlin")),
        "words": pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]),
        "lists": [[1], None],
        "structs": [{"x": 1}, None],
        "large": pa.array(["a", None], pa.large_string()),
        "number": pa.array([Decimal("1.2"), None]),
    },
    metadata={"source": "warehouse"},
)


@pytest.mark.parametrize(
    "table", [TABLE, TABLE.slice(0, 0), pa.table({}), pa.table({"a": pa.chunked_array([], pa.int8())})]
)
def test_an_arrow_table_comes_back_the_same(table: pa.Table, store: ArtifactStore) -> None:
    back = decode(encode(table, pa.Table, store), pa.Table, store)
    assert back.equals(table.unify_dictionaries(), check_metadata=True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (None, pd.DataFrame, "the value is None; annotated DataFrame"),
        ([pd.DataFrame(), pd.Series()], list[pd.DataFrame], "item 1 is Series; annotated DataFrame"),
        ({"train": 3}, dict[str, pd.DataFrame], "key 'train' is int; annotated DataFrame"),
        (pd.DataFrame(), pd.Series, "the value is DataFrame; annotated Series"),
        (pd.Series([1], name=("a", 1)), pd.Series, "only text and integers can be stored as its name"),
    ],
)
def test_what_is_no_table_is_named(value: object, hint: object, message: str, store: ArtifactStore) -> None:
    with pytest.raises(WrongValue) as caught:
        encode(value, hint, store)
    assert message in str(caught.value)


def test_equal_frames_have_equal_digests(store: ArtifactStore) -> None:
    one, two = (encode(FRAMES["times"].copy(), pd.DataFrame, store) for _ in range(2))
    assert one == two


def test_a_text_is_stored_once(store: ArtifactStore) -> None:
    words = pd.DataFrame({"word": np.resize(["red", "green", "blue"], 20_000)})
    tree = encode(words, pd.DataFrame, store)
    assert store.local_path(tree["digest"]).stat().st_size < 20_000  # type: ignore[arg-type]


def test_a_frame_or_nothing_needs_no_tag(store: ArtifactStore) -> None:
    tree = encode(FRAMES["numbers"], pd.DataFrame | None, store)
    assert tree["codec"] == "frame"
    pd.testing.assert_frame_equal(decode(tree, pd.DataFrame, store), FRAMES["numbers"])  # type: ignore[arg-type]
    assert decode(encode(None, pd.DataFrame | None, store), pd.DataFrame | None, store) is None


def test_an_altered_table_never_decodes(store: ArtifactStore) -> None:
    tree = encode(FRAMES["numbers"], pd.DataFrame, store)
    path = store.local_path(tree["digest"])  # type: ignore[arg-type]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(AlteredArtifact):
        decode(tree, pd.DataFrame, store)


@pytest.mark.parametrize("hint", [pd.DataFrame, pd.Series, pa.Table])
def test_a_blob_of_another_form_is_one_clear_error(hint: object, store: ArtifactStore) -> None:
    kind = {pd.DataFrame: "frame", pd.Series: "series", pa.Table: "arrow"}[hint]
    with pytest.raises(StoreError, match="is no table that can be read"):
        decode({"codec": kind, "digest": store.put(b"PAR1 nothing PAR1")}, hint, store)


def with_shell(table: pa.Table, shell: pa.RecordBatch, store: ArtifactStore) -> dict[str, Any]:
    """The tree of a table in whose Parquet somebody has put another shell."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, shell.schema) as stream:
        stream.write_batch(shell)
    metadata = {b"orchestrator.shell": base64.b64encode(sink.getvalue().to_pybytes())}
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return {"codec": "arrow", "digest": store.put(file.getvalue())}


def test_codes_beyond_their_categories_are_refused(store: ArtifactStore) -> None:
    shell = pa.record_batch({"c": pa.array(["a", "b"]).dictionary_encode().slice(0, 0)})
    tree = with_shell(pa.table({"0": pa.array([0, 1_000_000], pa.int32())}), shell, store)
    with pytest.raises(StoreError, match="is no table that can be read"):
        decode(tree, pa.Table, store)


def test_categories_whose_texts_lie_beyond_their_bytes_are_refused(store: ArtifactStore) -> None:
    # the last offset is right, which is all that a quick check looks at
    offsets = pa.py_buffer(np.array([0, 1_000_000, 2], "i4").tobytes())
    evil = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ab"))
    codes = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), evil, safe=False)
    tree = with_shell(pa.table({"0": pa.array([0, 1], pa.int32())}), pa.record_batch({"c": codes}), store)
    with pytest.raises(StoreError, match="is no table that can be read"):
        decode(tree, pa.Table, store)


@pytest.mark.parametrize("extra", [{"objects": {"7": "nan"}}, {"categories": {"0": "AAAA"}}, [], "text"])
def test_a_frame_whose_notes_were_altered_is_one_clear_error(extra: object, store: ArtifactStore) -> None:
    table = pa.table({"a": [1]}, metadata={"orchestrator.pandas": json.dumps(extra)})
    tree = {**encode(table, pa.Table, store), "codec": "frame"}
    with pytest.raises(StoreError, match="is no table that can be read"):
        decode(tree, pd.DataFrame, store)
