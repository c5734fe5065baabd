"""The lists that make a queue in Redis: by priority, and at the same priority nodes before batches of maps.

A stage's priority is 0 (first) to 9 (last), 5 if it has none. Its messages have a level in their headers:
one for nodes of that priority and the next one for batches of a map's items, so that a small run does not
wait behind a map of thousands of items. Conclusions of runs are between the two of the default priority.
The default level is the queue's own list. Celery's own option says less: kombu takes its 0 for no priority.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

#: The priority of a stage that has none.
DEFAULT = 5
#: Of every so many messages that a worker fetches, it looks once for conclusions first, and once, half as
#: many later, for batches: they never starve.
READS_UNTIL_OTHERS = 8


#: The header of a message that has its level, if that is not the default.
LEVEL = "level"


def level(priority: int | None, *, batch: bool = False) -> int:
    """Return the level of messages of a priority."""
    return 2 * (DEFAULT if priority is None else min(max(priority, 0), 9)) + batch


def level_of(message: Mapping[str, Any]) -> int:
    """Return the level of a message in kombu's form; the default, if it has none that exists."""
    headers = message.get("headers")
    told = headers.get(LEVEL) if isinstance(headers, dict) else None
    return told if isinstance(told, int) and told in LEVELS else DEFAULT_LEVEL


def headers_of(priority: int | None, *, batch: bool = False) -> dict[str, int]:
    """Return the headers of messages of a priority."""
    found = level(priority, batch=batch)
    return {} if found == DEFAULT_LEVEL else {LEVEL: found}


#: Messages without a priority.
DEFAULT_LEVEL = level(None)
#: Those of nodes, and those of batches, from first to last.
NODE_LEVELS = tuple(map(level, range(10)))
BATCH_LEVELS = tuple(level(priority, batch=True) for priority in range(10))
#: That of conclusions.
CONCLUSIONS = BATCH_LEVELS[-1] + 1
#: All, from first to last.
LEVELS = (*range(DEFAULT_LEVEL + 1), CONCLUSIONS, *range(DEFAULT_LEVEL + 1, CONCLUSIONS))
#: All, with batches before nodes of the same priority; and with conclusions before all others.
BATCHES_FIRST = (*(level for batch in BATCH_LEVELS for level in (batch, batch - 1)), CONCLUSIONS)
CONCLUSIONS_FIRST = (CONCLUSIONS, *(level for level in LEVELS if level != CONCLUSIONS))


def order_of_read(number: int) -> tuple[int, ...]:
    """Return the levels in the order in which a worker's read of a queue looks for a message."""
    place = number % READS_UNTIL_OTHERS
    if place == 0:
        return CONCLUSIONS_FIRST
    return BATCHES_FIRST if place == READS_UNTIL_OTHERS // 2 else LEVELS


def list_of(queue: str, level: int) -> str:
    """Return the name of the list that holds a queue's messages of a level, in kombu's form."""
    return queue if level == DEFAULT_LEVEL else f"{queue}\x06\x16{level}"


def lists_of(queue: str) -> list[str]:
    """Return the names of all lists of a queue, from first to last."""
    return [list_of(queue, level) for level in LEVELS]


def any_waits(client: Redis, queues: Iterable[str]) -> bool:
    """Whether a message waits in one of these queues."""
    return bool(client.exists(*(each for queue in queues for each in lists_of(queue))))
