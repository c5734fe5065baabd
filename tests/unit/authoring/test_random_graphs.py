"""Random graphs do in this process what a reference interpreter says they should."""

from __future__ import annotations

import pytest

from tests.random_graphs.comparison import local_differences
from tests.random_graphs.interpreter import interpret
from tests.random_graphs.recipe import recipe


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_local_runs_agree_with_the_interpreter(first: int) -> None:
    for seed in range(first, first + 100):
        chosen = recipe(seed)
        found = local_differences(chosen, interpret(chosen))
        assert not found, f"seed {seed}:\n{chosen}\n\n" + "\n".join(found)
