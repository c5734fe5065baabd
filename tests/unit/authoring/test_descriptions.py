"""What is told of a pipeline's parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import pytest
from pydantic import BaseModel, Field

from orchestrator.authoring.descriptions import describe_parameters, documented

GOOGLE = """Do it.

Args:
    rows (int): how many,
        at the most
    **rest: whatever else

Returns:
    nothing: at all
"""
NUMPY = """Do it.

Parameters
----------
rows : int
    how many,
    at the most
rest
    whatever else

Returns
-------
nothing
    at all
"""
REST = """Do it.

:param int rows: how many,
    at the most
:param rest: whatever else
:returns: nothing
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_docstrings_of_each_style_are_read(docstring):
    assert documented(docstring) == {"rows": "how many, at the most", "rest": "whatever else"}


@pytest.mark.parametrize(
    "docstring", ["", "Do it.", "Args:", "Parameters\n---", "Args:\nrows: not indented? it is taken"]
)
def test_other_docstrings_do_no_harm(docstring):
    assert isinstance(documented(docstring), dict)


class Inner(BaseModel):
    rate: float = Field(0.1, description="how fast")
    steps: int


@dataclass(frozen=True)
class Model:
    """A model.

    Args:
        depth: of the trees
    """

    depth: int
    names: list[str] = field(default_factory=lambda: ["a"])
    inner: Inner | None = None
    itself: Model | None = None


class Pair(NamedTuple):
    left: int
    right: Annotated[int, "the other one"] = 2


def test_parameters_are_described_with_the_fields_of_records():
    def run(
        rows: int,
        model: Model,
        pairs: list[Pair],
        name: Annotated[str, "what it is called"] = "x",
        password_hint: str = "rosebud",  # noqa: S107
    ) -> None:
        """Run it.

        Args:
            rows: how many
        """

    rows, model, pairs, name, secret = describe_parameters(run)
    assert (rows.type, rows.required, rows.text) == ("int", True, "how many")
    assert [(each.name, each.required, each.default, each.text) for each in model.fields[:2]] == [
        ("depth", True, None, "of the trees"),
        ("names", False, ["a"], ""),
    ]
    assert [(each.name, each.default, each.text) for each in model.fields[2].fields] == [
        ("rate", 0.1, "how fast"),
        ("steps", None, ""),
    ]
    assert [(each.name, each.default, each.text) for each in pairs.fields] == [
        ("left", None, ""),
        ("right", 2, "the other one"),
    ]
    assert (name.default, name.text) == ("x", "what it is called")
    assert secret.default == "***"
    assert max(depth for depth, _ in model.lines()) <= 5
