"""How many stages of a queue the local stack runs at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.stack.cores import usable_cores
from orchestrator.stack.errors import StackFailed


def slots_of(queues: Iterable[str], wished: Mapping[str, int]) -> dict[str, int]:
    """The slots of each queue: as wished, else data 2, training one per usable core (at least 2), others 1.

    Wishes for queues that are not started here are put aside; StackFailed for those that there are not.
    """
    from orchestrator.settings import settings

    queues = tuple(dict.fromkeys(queues))
    known = tuple(dict.fromkeys([*settings().queues, *queues]))
    if unknown := sorted(set(wished) - set(known)):
        raise StackFailed(f"slots are wished for queue {unknown[0]!r}; the queues are {', '.join(known)}")
    usual = {"data": 2, "training": max(2, usable_cores())}
    slots = {queue: wished.get(queue, usual.get(queue, 1)) for queue in queues}
    for queue, count in slots.items():
        if count < 1:
            raise StackFailed(f"queue {queue!r} cannot have {count} slots; give it at least 1")
    return slots
