"""What counts as a difference between two runs."""

from __future__ import annotations

from orchestrator.client.comparison import Difference, compare_facts
from orchestrator.run_id import RunId

LEFT, RIGHT = RunId("a-20260301-120000-0001"), RunId("a-20260301-120000-0002")


def compared(left, right):
    return compare_facts(LEFT, {"parameters": left}, RIGHT, {"parameters": right})


def test_secrets_are_not_said_to_be_the_same():
    found = compared({"api_token": "***", "rows": 1}, {"api_token": "***", "rows": 1})
    assert found.differences == ()
    assert found.same == {"parameters": 1}


def test_a_run_that_lacks_a_value_differs_from_one_where_it_is_none():
    assert compared({"rows": None}, {}).differences == (Difference("parameters", "rows", None, None),)
