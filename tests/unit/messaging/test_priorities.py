"""The order of a queue's messages."""

from __future__ import annotations

import pytest

from orchestrator.messaging.priorities import (
    BATCHES_FIRST,
    CONCLUSIONS,
    CONCLUSIONS_FIRST,
    DEFAULT,
    DEFAULT_LEVEL,
    LEVELS,
    READS_UNTIL_OTHERS,
    headers_of,
    level,
    level_of,
    list_of,
    lists_of,
    order_of_read,
)


def test_a_lower_priority_number_comes_first_and_nodes_before_batches() -> None:
    order = [level(priority, batch=batch) for priority in range(10) for batch in (False, True)]
    assert order == sorted(order) == [each for each in LEVELS if each != CONCLUSIONS]
    assert level(None) == level(DEFAULT) == DEFAULT_LEVEL


def test_now_and_then_batches_come_before_nodes_of_their_priority_only() -> None:
    assert sorted(BATCHES_FIRST) == sorted(LEVELS)
    for priority in range(10):
        at = BATCHES_FIRST.index(level(priority, batch=True))
        assert BATCHES_FIRST[at + 1] == level(priority)
        assert at == 2 * priority


def test_conclusions_come_after_nodes_without_a_priority_and_before_batches() -> None:
    at = LEVELS.index(CONCLUSIONS)
    assert LEVELS[at - 1] == DEFAULT_LEVEL
    assert LEVELS[at + 1] == level(None, batch=True)
    assert level_of({"headers": {"level": CONCLUSIONS}}) == CONCLUSIONS


def test_batches_and_conclusions_are_looked_for_first_in_turn() -> None:
    assert sorted(CONCLUSIONS_FIRST) == sorted(LEVELS)
    orders = [order_of_read(number) for number in range(1, READS_UNTIL_OTHERS + 1)]
    half = READS_UNTIL_OTHERS // 2
    assert [number for number, order in enumerate(orders, 1) if order != LEVELS] == [half, 2 * half]
    assert orders[half - 1] == BATCHES_FIRST
    assert orders[-1] == CONCLUSIONS_FIRST
    assert CONCLUSIONS_FIRST[0] == CONCLUSIONS


def test_messages_without_a_priority_are_in_the_queues_own_list() -> None:
    assert list_of("data", DEFAULT_LEVEL) == "data"
    assert headers_of(None) == headers_of(DEFAULT) == {}
    assert len(set(lists_of("data"))) == len(LEVELS)
    assert lists_of("data").index("data") == DEFAULT_LEVEL


def test_a_message_says_what_it_is() -> None:
    for priority in (None, 0, 9):
        for batch in (False, True):
            message = {"headers": headers_of(priority, batch=batch)}
            assert level_of(message) == level(priority, batch=batch)


@pytest.mark.parametrize("headers", [None, {}, {"level": 99}, {"level": "1"}, {"level": None}, {"level": []}])
def test_a_message_without_a_level_that_exists_has_the_default(headers: object) -> None:
    assert level_of({"headers": headers}) == DEFAULT_LEVEL
    assert level_of({}) == DEFAULT_LEVEL
