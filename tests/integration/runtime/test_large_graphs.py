"""Large graphs run to their end, and meet no limit of recursion or of a message's size on the way."""

from __future__ import annotations

import pytest

from tests.harness.runner import Runner, states_of

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "given", "nodes"),
    [
        ("line", {"length": 1000}, 1000),
        ("long_tail", {"items": 2000, "tail": 100}, 2101),
        ("ladder", {"rungs": 200}, 601),
        ("butterfly", {"width": 32}, 1024),
    ],
)
def test_it_runs_to_its_end(runner: Runner, name: str, given: dict[str, int], nodes: int) -> None:
    states = states_of(runner.run(name, **given))
    assert len(states) == nodes
    assert set(states.values()) == {"succeeded"}
