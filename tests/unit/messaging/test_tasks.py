"""What a stage's message says beside its node."""

from __future__ import annotations

import pytest

from orchestrator.messaging.tasks import batch_number


@pytest.mark.parametrize(
    ("kwargs", "number"),
    [
        ({"batch": 2}, 2),
        ({"share": 3}, 3),  # of an earlier version, on a queue when this one began
        ({"batch": None}, None),
        ({}, None),
    ],
)
def test_which_batch_a_message_calls_to(kwargs: dict[str, object], number: int | None) -> None:
    assert batch_number({"run": "r", "node": "m", **kwargs}) == number
