"""Parameters from files and from earlier runs, and the pages that describe them."""

from __future__ import annotations

import json

import pytest


def order(shell, *words):
    return shell.succeed("run", "order", *words, "--detach", "--json").last_json


def test_a_file_gives_parameters_and_p_goes_before_it(joined, tmp_path):
    file = tmp_path / "many.yaml"
    file.write_text("count: 2\n")
    assert order(joined, "--params", str(file))["parameters"] == {"count": 2}
    assert order(joined, "--params", str(file), "-p", "count=1")["parameters"] == {"count": 1}


def test_an_earlier_runs_parameters_are_taken_again(joined, tmp_path):
    first = order(joined, "-p", "count=2")
    assert order(joined, "--like", first["id"])["parameters"] == {"count": 2}
    file = tmp_path / "other.json"
    file.write_text('{"count": 1}')
    assert order(joined, "--like", first["id"], "--params", str(file))["parameters"] == {"count": 1}
    other = joined("run", "unpaid", "--like", first["id"])
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert f"{first['id']} is a run of 'order', not 'unpaid'" in other.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"count: 1\ncount: 2\n", "'count' is given twice"),
        (b"count: many\n", "count='many': Input should be a valid integer"),
        (b"cuont: 1\n", "there is no parameter 'cuont'. Did you mean 'count'?"),
        (b"count: \xff\n", "not UTF-8"),
        (b"- 1\n", "holds a list"),
        (b"x" * (1024 * 1024 + 1), "larger than 1024 KiB"),
    ],
)
def test_a_file_that_is_wrong_is_one_clear_line(alone, tmp_path, content, told):
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    done = alone("compile", "order", "--params", str(file))
    assert (done.status, done.out) == (2, "")
    assert told in done.err
    assert len(done.err.splitlines()) <= 2, done.err


def test_a_pipeline_is_described(alone):
    page = alone.succeed("pipelines", "order").out
    assert "Add prices up." in page
    assert "-p count" in page
    plain = json.loads(alone.succeed("pipelines", "order", "--json").out)
    assert plain["parameters"] == [
        {"name": "count", "type": "int", "required": False, "default": 3, "text": "how many prices"}
    ]
    assert "how many prices" in alone.succeed("run", "order", "--help").out
    assert "there is no pipeline 'ordre'" in alone.succeed("run", "ordre", "--help").out
    assert alone("pipelines", "ordre").status == 2
