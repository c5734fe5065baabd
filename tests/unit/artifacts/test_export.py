"""Values as files, as text and as JSON."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression

from orchestrator.artifacts import ArtifactStore, decode, decode_as_stored, encode
from orchestrator.artifacts.codecs.figures import Picture
from orchestrator.artifacts.errors import NoSuchPart, NotWritable, UnsupportedType
from orchestrator.artifacts.export import as_json, as_text, write_output

FRAME = pd.DataFrame({"x": [1, 2], "name": ["a", None]})


class Score(NamedTuple):
    mean: float
    folds: list[float]


@dataclass(frozen=True)
class Held:
    rows: pd.DataFrame
    score: Score


def figure():
    drawn = Figure()
    drawn.subplots().plot([1, 2])
    return drawn


def test_plain_values_are_json():
    assert as_json(Score(0.5, [float("nan"), 1.0]), "it") == {"mean": 0.5, "folds": [None, 1.0]}
    assert as_json(Held(FRAME, Score(1.0, [])), "it") == {
        "rows": [{"x": 1, "name": "a"}, {"x": 2, "name": None}],
        "score": {"mean": 1.0, "folds": []},
    }
    assert as_json({1: np.array([[1, 2]])}, "it") == {"1": [[1, 2]]}
    assert as_json(np.array(["2026-01-01", "NaT"], "datetime64[D]"), "it") == ["2026-01-01", "NaT"]


def test_what_has_no_json_is_refused_by_its_place():
    with pytest.raises(NotWritable, match="model of it is a LinearRegression"):
        as_json({"model": LinearRegression()}, "it")


def test_files_and_figures_are_named_where_they_have_no_text(tmp_path):
    (file := tmp_path / "report.txt").write_text("all is well")
    assert as_text(file, "it") == "report.txt, a file of 11 bytes: write it with -o FILE"
    assert as_text(tmp_path, "it").endswith(", a folder: write it with -o FILE")
    assert as_text(Picture(b"png"), "it") == "<Picture of 3 bytes>: write it with -o FILE"
    with pytest.raises(NotWritable, match="a file of 11 bytes, which has no form in JSON"):
        as_json({"report": file}, "it")
    with pytest.raises(NotWritable, match="is a Picture"):
        as_json(Picture(b"png"), "it")


def test_the_terminal_shows_text_tables_json_and_the_rest_by_its_name():
    assert as_text("two\nlines", "it") == "two\nlines"
    assert as_text(pd.DataFrame({"x": range(30)}), "it").endswith("[30 rows × 1 columns]")
    assert json.loads(as_text(Score(0.5, []), "it")) == {"mean": 0.5, "folds": []}
    assert (
        as_text({"model": LinearRegression(), "score": 1.0}, "it") == "model: LinearRegression()\nscore: 1.0"
    )


@pytest.mark.parametrize(
    "value", [FRAME, pa.Table.from_pandas(FRAME), FRAME["x"]], ids=["pandas", "arrow", "series"]
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_a_table_is_written_as_its_file_is_called(tmp_path, value, suffix):
    file = write_output(value, tmp_path / f"table{suffix}", "it")
    readers: dict[str, Any] = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".json": pd.read_json}
    read = readers[suffix](file)
    assert list(read["x"]) == [1, 2]
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_other_values_are_written_in_their_own_forms(tmp_path):
    model = write_output(LinearRegression(), tmp_path / "model.skops", "it")
    assert isinstance(skops.io.load(model), LinearRegression)
    assert write_output(figure(), tmp_path / "plot.png", "it").read_bytes().startswith(b"\x89PNG")
    assert write_output({"a": 1}, tmp_path / "a.json", "it").read_text() == '{\n "a": 1\n}\n'
    assert write_output("text", tmp_path / "a.md", "it").read_text() == "text"
    assert write_output(b"bytes", tmp_path / "a.bin", "it").read_bytes() == b"bytes"
    assert list(np.load(write_output(np.arange(3), tmp_path / "a.npy", "it"))) == [0, 1, 2]


def test_files_and_folders_keep_their_names_and_can_be_written_to(tmp_path):
    source = tmp_path / "source" / "inner"
    source.mkdir(parents=True)
    (source / "a.txt").write_text("a")
    (source / "a.txt").chmod(0o444)
    there = tmp_path / "there"
    there.mkdir()
    file = write_output(source / "a.txt", there, "it")
    file.write_text("changed")
    folder = write_output(source, there, "it")
    (folder / "a.txt").write_text("changed")
    with pytest.raises(NotWritable, match="exists"):
        write_output(source, there, "it")


@pytest.mark.parametrize(
    ("value", "name", "told"),
    [
        (FRAME, "a.xlsx", "has no form .xlsx"),
        (LinearRegression(), "a.pkl", "has no form .pkl"),
        ({"a": 1}, "a.parquet", "has no form .parquet"),
        (Picture(b"png"), "a.svg", "has no form .svg"),
        (FRAME, "missing/a.csv", "there is no folder"),
        ({"a": LinearRegression()}, "a.json", "no form in JSON"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, value, name, told):
    with pytest.raises(NotWritable, match=told):
        write_output(value, tmp_path / name, "it")
    assert not list(tmp_path.iterdir())


def test_a_table_in_json_keeps_all_digits_and_its_labels():
    frame = pd.DataFrame({"p": [1e-12, 0.12345678901234567], "a b": [float("nan"), 1.0]})
    assert as_json(frame, "it") == [{"p": 1e-12, "a b": None}, {"p": 0.12345678901234567, "a b": 1.0}]
    labelled = pd.DataFrame({"x": [1.5, 2.5]}, index=["mean", "std"])
    assert as_json(labelled, "it") == [{"index": "mean", "x": 1.5}, {"index": "std", "x": 2.5}]
    with pytest.raises(NotWritable, match="no form in JSON"):
        as_json(pd.DataFrame([[1, 2]], columns=["x", "x"]), "it")


def test_labels_of_rows_are_written_where_they_are_no_numbers(tmp_path):
    file = write_output(pd.DataFrame({"x": [1, 2]}, index=["mean", "std"]), tmp_path / "a.csv", "it")
    assert file.read_text() == ",x\nmean,1\nstd,2\n"
    file = write_output(pd.DataFrame({"x": [1, 2]}, index=[7, 3]), tmp_path / "b.csv", "it")
    assert file.read_text() == "x\n1\n2\n"


def test_a_link_is_followed_and_a_file_keeps_its_mode(tmp_path):
    (tmp_path / "real.txt").write_text("before")
    (tmp_path / "real.txt").chmod(0o600)
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_output("after", tmp_path / "link.txt", "it")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "after"
    assert (tmp_path / "real.txt").stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text)
        write_output("text", pipe, "it")
        assert read.result(10) == "text"
    assert pipe.is_fifo()


def test_text_that_no_file_can_hold_is_told(tmp_path):
    with pytest.raises(NotWritable, match="cannot be written to"):
        write_output("caf\udce9", tmp_path / "a.txt", "it")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_there_stays_if_the_new_one_fails(tmp_path):
    file = tmp_path / "a.svg"
    file.write_text("before")
    with pytest.raises(NotWritable):
        write_output(Picture(b"png"), file, "it")
    assert file.read_text() == "before"


@pytest.fixture
def store():
    return ArtifactStore("memory://")


def test_a_figure_is_stored_as_its_picture(store):
    tree = encode(figure(), Figure, store)
    picture = decode(tree, Figure, store)
    assert isinstance(picture, Picture)
    assert picture.png.startswith(b"\x89PNG")
    assert decode(encode(picture, Figure, store), Figure, store) == picture


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (Score(0.5, [1.0]), Score),
        (FRAME, pd.DataFrame),
        (FRAME["x"], pd.Series),
        (b"bytes", bytes),
        (["a" * 70_000], list[str]),
        (Held(FRAME, Score(1.0, [])), Held),
        (None, int | None),
    ],
    ids=["int", "record", "frame", "series", "bytes", "large", "mixed", "union"],
)
def test_without_an_annotation_values_come_as_they_are_stored(store, value, hint):
    found: Any = decode_as_stored(encode(value, hint, store), store)
    if isinstance(value, pd.DataFrame | pd.Series):
        assert found.equals(value)
    elif isinstance(value, Held):
        assert found["rows"].equals(value.rows)
    else:
        assert found == (value._asdict() if isinstance(value, Score) else value)


def test_parts_are_found_without_an_annotation(store):
    tree = encode(Held(FRAME, Score(1.0, [2.0])), Held, store)
    assert decode_as_stored(tree, store, ("score", "folds", 0)) == 2.0
    rows: Any = decode_as_stored(tree, store, ("rows",))
    assert list(rows["x"]) == [1, 2]
    for path in (("nope",), ("score", "folds", 1), ("score", "mean", "x")):
        with pytest.raises(NoSuchPart):
            decode_as_stored(tree, store, path)


def test_a_users_own_codec_needs_its_code(store):
    with pytest.raises(UnsupportedType, match="without its stage's code"):
        decode_as_stored({"codec": "custom", "digest": "sha256:" + "0" * 64}, store)
