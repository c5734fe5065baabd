"""Reading a user's file: what is understood, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator import InvalidData
from pipelines.tabular import read
from pipelines.tabular.columns import as_numbers
from pipelines.tabular.reading import read_source, read_table


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
    "a name twice": (b"a,price,price\n1,2,2\n", "more than one column 'price': give each its own name"),
    "a name twice but for blanks": (b"a, price,price\n1,2,2\n", "more than one column 'price'"),
    "short row": (b"a,price\n1,2\n1\n", "row 3 has 1 values, and its header 2 names: '1'"),
    "title above the header": (b"Report\n\na,price\n1,2\n", "row 2 has 2 values"),
    "open quote": (b'a,price\n1,"x\n2,y\n3,z\n', "line 4: a quote is not closed"),
    "open quote that another closes": (b'a,price\n1,"x\n2,"y\n3,z\n', "a quote is not closed"),
    "a slip in UTF-8": (
        "город,price\nМосква,1\nКазань,\n".encode() + b"\xe9,2\n",
        "is in UTF-8, except for 1 characters, the first of them in line 4",
    ),
    "no target": (
        b"a,prize\n1,2\n",
        "has no column 'price'. Did you mean 'prize'? Its columns are 'a', 'prize'",
    ),
}


@pytest.mark.parametrize(("content", "line"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(InvalidData) as caught:
        read(file, "price")
    assert line in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"there is no file .*houses\.csv: check the path"):
        read(tmp_path / "houses.csv", "price")


def test_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="is a folder: give one CSV or Parquet file"):
        read(tmp_path, "price")


def test_bad_input_is_never_retried() -> None:
    retry = read.policy.retry
    assert retry is not None
    assert not retry.covers(InvalidData("a line"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out(tmp_path: Path, separator: str) -> None:
    file = written(tmp_path, f'"a, or b"{separator}c\n1{separator}2\n')
    assert list(read_table(file)) == ["a, or b", "c"]


def test_decimal_commas_are_understood_between_semicolons(tmp_path: Path) -> None:
    assert as_numbers(read_table(written(tmp_path, "a;b\n1,5;x\n"))["a"]).tolist() == [1.5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_encoding_is_found_out(tmp_path: Path, encoding: str) -> None:
    table = read_table(written(tmp_path, "größe,b\ngrün,1\n".encode(encoding)))
    assert list(table) == ["größe", "b"]
    assert table["größe"].tolist() == ["grün"]


FOREIGN = {
    "cp1251": "город,цена\nМосква,100\nКазань,50\n",
    "koi8_r": "город,цена\nМосква,100\nКазань,50\n",
    "cp932": "都市,価格\n東京,100\n大阪,50\n",
    "gb18030": "城市,价格\n北京,100\n上海,50\n广州,70\n",
    "cp1253": "πόλη,τιμή\nΑθήνα,100\nΠάτρα,50\n",
    "cp1252": "ville,prix €\nOrléans,10\nNîmes,20\n",
}


@pytest.mark.parametrize("encoding", FOREIGN)
def test_an_encoding_of_other_scripts_is_found_out_and_said(tmp_path: Path, encoding: str) -> None:
    ascii_rows = "filler,1\n" * 20_000  # the letters that tell come late in the file
    header, _, rows = FOREIGN[encoding].partition("\n")
    table, notes = read_source(written(tmp_path, f"{header}\n{ascii_rows}{rows}".encode(encoding)))
    assert [*table.columns, *table.iloc[-1]] == [*header.split(","), *rows.split("\n")[-2].split(",")]
    assert f"was read as {encoding}" in notes[0]


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, "město,b\nPlzeň,1\n".encode("cp1250"))
    assert list(read_table(file, "cp1250")) == ["město", "b"]
    with pytest.raises(InvalidData, match="there is no encoding 'cp9999'"):
        read_table(file, "cp9999")
    with pytest.raises(InvalidData, match=r"is not in the encoding utf-8 \(line 1 has the byte 0xec\)"):
        read_table(file, "utf-8")


SAME_TABLE = {
    "plain": "a,b\nx,1\ny,2\n",
    "byte order mark": "\ufeffa,b\nx,1\ny,2\n",
    "Windows lines": "a,b\r\nx,1\r\ny,2\r\n",
    "old Mac lines": "a,b\rx,1\ry,2\r",
    "no last line end": "a,b\nx,1\ny,2",
    "blank lines": "\na,b\n\nx,1\n   \ny,2\n\n",
    "blanks around": "a , b\n x,1 \ny , 2\n",
    "blanks before quotes": '"a", "b"\nx, "1"\ny, "2"\n',
    "comments": "# exported, with care, today\n# by nobody\na,b\nx,1\ny,2\n",
    "a line for Excel": "sep=;\na;b\nx;1\ny;2\n",
    "separators at the ends": "a,b,\nx,1,\ny,2,\n",
    "separators at the ends of rows": "a,b\nx,1,\ny,2,\n",
    "an end mark of DOS": "a,b\nx,1\ny,2\n\x1a",
}


@pytest.mark.parametrize("content", SAME_TABLE.values(), ids=SAME_TABLE)
def test_files_of_all_kinds_hold_the_same_table(tmp_path: Path, content: str) -> None:
    table = read_table(written(tmp_path, content))
    assert table.to_dict("list") == {"a": ["x", "y"], "b": ["1", "2"]}


def test_values_are_kept_as_they_are_written(tmp_path: Path) -> None:
    words = ["None", "NA", "nan", "null", "007", "1e5", "9007199254740993", "1,5", "x\ny", 'say "hi"']
    rows = "".join('"' + word.replace('"', '""') + '",1\n' for word in words)
    assert read_table(written(tmp_path, f"word,b\n{rows}"))["word"].tolist() == words


def test_a_column_without_a_name_gets_one(tmp_path: Path) -> None:
    table, notes = read_source(written(tmp_path, ",a\n0,x\n1,y\n"))
    assert list(table) == ["column 1", "a"]
    assert notes == ["Column 1 has no name, and is called 'column 1'"]


def test_a_header_that_begins_with_a_hash_is_no_comment(tmp_path: Path) -> None:
    assert list(read_table(written(tmp_path, "#id\tname\n1\tx\n"))) == ["#id", "name"]


def test_commas_in_the_values_do_not_hide_the_separator(tmp_path: Path) -> None:
    file = written(tmp_path, "name;price, EUR, net\nx;1,5\ny;2,5\n")
    assert list(read_table(file)) == ["name", "price, EUR, net"]


def test_a_parquet_file_with_a_column_twice_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "twice.parquet"
    pq.write_table(pa.table([[1], [2], [2]], names=["a", "price", "price"]), file)
    with pytest.raises(InvalidData, match="more than one column 'price'"):
        read_table(file)


def test_whole_numbers_in_parquet_stay_exact_beside_gaps(tmp_path: Path) -> None:
    file = tmp_path / "large.parquet"
    pq.write_table(pa.table({"id": [2**53 + 1, None], "y": [1, 2]}), file)
    assert read_table(file)["id"].tolist()[0] == str(2**53 + 1)


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
