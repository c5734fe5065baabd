"""Figures and tables that a stage logs become files."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from orchestrator import context
from orchestrator.authoring.context import Attempt, attempting
from orchestrator.authoring.masking import keep_secret
from orchestrator.authoring.tracker import LogTracker

FRAME = pd.DataFrame({"x": [1, 2], "name": ["a", None]})


class Kept(LogTracker):
    """Keeps the content of files, which are gone when the call returns."""

    def __init__(self):
        super().__init__()
        self.files = {}
        self.tags = {}

    def set_tag(self, name, value):
        self.tags[name] = value

    def log_artifact(self, path, folder=""):
        self.files[f"{folder}/{path.name}" if folder else path.name] = path.read_bytes()


@pytest.fixture
def kept():
    tracker = Kept()
    with attempting(Attempt(tracker=tracker)):
        yield tracker.files


class Plotly:
    def write_html(self, file):
        file.write_text("<html>")


def test_a_figure_is_drawn_as_its_file_is_called(kept):
    figure = Figure()
    figure.subplots().plot([1, 2])
    context.log_figure(figure, "plots/line.png")
    context.log_figure(figure, "line.svg")
    context.log_figure(Plotly(), "page.html")
    assert kept["plots/line.png"].startswith(b"\x89PNG")
    assert b"<svg" in kept["line.svg"]
    assert kept["page.html"] == b"<html>"


def test_a_table_has_the_form_that_mlflow_reads(kept):
    context.log_table(FRAME, "t.json")
    context.log_table({"x": [1, 2], "name": ["a", None]}, "folder/t.json")
    split = {"columns": ["x", "name"], "data": [[1, "a"], [2, None]]}
    assert json.loads(kept["t.json"]) == split
    assert json.loads(kept["folder/t.json"]) == split


def test_numbers_of_a_table_stay_numbers_with_all_their_digits(kept):
    numbers = [1e-12, 0.12345678901234567, float("nan")]
    context.log_table(pd.DataFrame({"p": numbers, "q": [[1e-12], "a", None]}), "t.json")
    context.log_table({"p": np.array(numbers), "n": np.array([1, 2, 3]), "t": [np.True_, 1, "a"]}, "n.json")
    assert json.loads(kept["t.json"])["data"] == [[1e-12, [1e-12]], [numbers[1], "a"], [None, None]]
    assert json.loads(kept["n.json"])["data"] == [[1e-12, 1, True], [numbers[1], 2, 1], [None, 3, "a"]]


def test_the_list_of_tables_stays_one_that_mlflow_reads(kept, caplog):
    with attempting(Attempt(tracker=(tracker := Kept()))):
        for number in range(300):
            context.log_table({"x": [1]}, f"tables/{number}.json")
    assert len(tracker.files) == 300
    listed = json.loads(tracker.tags["mlflow.loggedArtifacts"])
    assert 100 < len(listed) < 300
    assert "mlflow.load_table will not find it" in caplog.text


def test_a_table_is_csv_or_parquet_by_its_name(kept, tmp_path):
    context.log_table(FRAME, "t.csv")
    context.log_table({"x": [1, 2], "name": ["a", ""]}, "u.csv")
    context.log_table(FRAME, "t.parquet")
    assert kept["t.csv"] == kept["u.csv"] == b"x,name\n1,a\n2,\n"
    (tmp_path / "t.parquet").write_bytes(kept["t.parquet"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), FRAME)


@pytest.mark.parametrize("name", ["", "../x.json", "/x.json", "a/.."])
def test_a_name_that_leads_elsewhere_is_refused(kept, name):
    with pytest.raises(ValueError, match="cannot be called"):
        context.log_table(FRAME, name)
    assert kept == {}


def test_secrets_in_a_table_are_masked(kept):
    keep_secret("correct horse battery")
    context.log_table({"key": ["correct horse battery"]}, "t.json")
    context.log_table({"key": ["correct horse battery"]}, "t.csv")
    assert b"horse" not in kept["t.json"] + kept["t.csv"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: context.log_figure(cast("Any", 3), "a.png"), "not int"),
        (lambda: context.log_figure(Plotly(), "a.png"), "kept as HTML"),
        (lambda: context.log_table(cast("Any", 3), "a.json"), "not int"),
        (lambda: context.log_table(FRAME, "a.xlsx"), r"\*.json, \*.csv or \*.parquet"),
        (lambda: context.log_table({"x": [1]}, "a.parquet"), "make a DataFrame"),
    ],
)
def test_what_is_no_figure_or_table_is_told(kept, call, told):
    with pytest.raises(TypeError, match=told):
        call()
    assert not kept
