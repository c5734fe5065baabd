"""Parameters are parsed by the annotations of a pipeline's function."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import pytest

from orchestrator import pipeline, stage
from orchestrator.authoring.errors import InvalidParameters


@stage
def nothing() -> None:
    pass


@pipeline
def tuned(
    data: Path,
    folds: int = 5,
    depths: list[int] = [3, 5],  # noqa: B006 - as users write it
    kind: Literal["fast", "good"] = "fast",
    since: date | None = None,
    names: tuple[str, ...] = (),
    limit: float | None = None,
) -> None:
    nothing()


def test_defaults_fill_what_is_not_given() -> None:
    assert tuned.parse({"data": "x.csv"})["folds"] == 5


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data", "a/b.csv", Path("a/b.csv")),
        ("folds", "7", 7),
        ("depths", "[1, 2]", [1, 2]),
        ("kind", "good", "good"),
        ("since", "2026-11-24", date(2026, 11, 24)),
        ("names", '["a", "b"]', ("a", "b")),
        ("limit", "null", None),
        ("limit", "0.5", 0.5),
    ],
)
def test_text_is_parsed_as_its_annotation_asks(name: str, text: str, value: object) -> None:
    assert tuned.parse({"data": "x", name: text})[name] == value


def test_an_unknown_parameter_suggests_a_near_one() -> None:
    with pytest.raises(InvalidParameters, match=r"no parameter 'fold'\. Did you mean 'folds'\?"):
        tuned.parse({"data": "x", "fold": "3"})


def test_a_missing_parameter_says_how_to_give_it() -> None:
    with pytest.raises(InvalidParameters, match="'data' is missing: give it with -p data=VALUE"):
        tuned.parse({})


def test_a_wrong_value_says_what_is_taken() -> None:
    with pytest.raises(InvalidParameters, match=r"folds='many': .*integer.*; it takes int"):
        tuned.parse({"data": "x", "folds": "many"})


def test_all_wrong_parameters_are_told_at_once() -> None:
    with pytest.raises(InvalidParameters) as caught:
        tuned.parse({"folds": "many", "kind": "slow", "foldz": 1})
    assert str(caught.value).count(";") >= 3
