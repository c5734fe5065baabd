"""Reading a user's file: what is understood, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from orchestrator import Unfit
from pipelines.tabular import read
from pipelines.tabular.reading import read_table


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    """A file with this content."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "header only": (b"a,b,price\n", "has a header and no rows"),
    "binary": (bytes(range(256)) * 4, "is not a table, but binary data"),
    "Excel": (b"PK\x03\x04rest", "is an Excel or zip file"),
    "compressed": (b"\x1f\x8brest", "is compressed"),
    "JSON": (b'{"a": 1}', "is JSON"),
    "damaged Parquet": (b"PAR1 and no more", "is a damaged Parquet file"),
    "ragged": (b"a,price\n1,2\n1,2,3,4\n", "is not a table"),
    "unnamed columns": (b"a,price\n1,2,3\n1,2,3\n", "more values than its header has names"),
    "prose": (b"Dear reader\nthis is a letter\n", "has only one column, 'Dear reader'"),
    "no target": (
        b"a,prize\n1,2\n",
        "has no column 'price'. Did you mean 'prize'? Its columns are 'a', 'prize'",
    ),
}


@pytest.mark.parametrize(("content", "line"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(Unfit) as caught:
        read(file, "price")
    assert line in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match=r"there is no file .*houses\.csv: check the path"):
        read(tmp_path / "houses.csv", "price")


def test_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="is a folder: give one CSV or Parquet file"):
        read(tmp_path, "price")


def test_bad_input_is_never_retried() -> None:
    retry = read.policy.retry
    assert retry is not None
    assert not retry.covers(Unfit("a line"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out(tmp_path: Path, separator: str) -> None:
    file = written(tmp_path, f'"a, or b"{separator}c\n1{separator}2\n')
    assert list(read_table(file)) == ["a, or b", "c"]


def test_decimal_commas_are_understood_between_semicolons(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a;b\n1,5;x\n"))["a"].tolist() == [1.5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_the_encoding_is_found_out(tmp_path: Path, encoding: str) -> None:
    table = read_table(written(tmp_path, "größe,b\ngrün,1\n".encode(encoding)))
    assert list(table) == ["größe", "b"]
    assert table["größe"].tolist() == ["grün"]


def test_parquet_columns_of_any_kind_become_numbers_times_or_text(tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    moment = pd.Timestamp("2024-05-01 12:00", tz="Europe/Rome")
    pd.DataFrame(
        {
            "grade": pd.Categorical(["a", "b"]),
            "seen": [moment, moment],
            "born": [moment.date(), None],
            "took": pd.to_timedelta([1, 2], unit="min"),
            "tags": [["x"], ["y", "z"]],
            "flag": [True, None],
            "count": pd.array([1, None], dtype="Int64"),
        },
        index=["one", "two"],
    ).to_parquet(file)
    table = read_table(file)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        "grade": "str",
        "seen": "datetime64[us]",
        "born": "datetime64[s]",
        "took": "float64",
        "tags": "str",
        "flag": "str",
        "count": "float64",
    }
    assert table["seen"][0] == pd.Timestamp("2024-05-01 10:00")
    assert table["took"].tolist() == [60.0, 120.0]
    assert np.isnan(table["count"][1])
