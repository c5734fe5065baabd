"""The states are drawn as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.runs.states import ALLOWED, ALLOWED_OF_RUNS

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"


@pytest.mark.parametrize(("number", "table"), [(0, ALLOWED_OF_RUNS), (1, ALLOWED)], ids=["runs", "nodes"])
def test_the_drawing_is_the_table(number: int, table: dict[str, frozenset[str]]) -> None:
    drawing = re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE.read_text(), re.DOTALL)[number]
    drawn = re.findall(r"^ +(\w+) --> (\w+)", drawing, re.MULTILINE)
    assert sorted(drawn) == sorted((before, after) for before, next_ in table.items() for after in next_)
