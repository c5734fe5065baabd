"""Known faults of the past that are put back into the code, to see that a simulation finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import stepped_redis

if TYPE_CHECKING:
    from .laboratory import Laboratory


def _script(name: str, real: str, planted: str) -> Callable[[], None]:
    """A transition, or the prelude of all, with one expression replaced."""

    def change() -> None:
        stepped_redis.planted.append((name, real, planted))

    return change


def _first_by_name() -> None:
    from orchestrator.runs.values import FencingNumber

    FencingNumber.__lt__ = lambda *_: False  # type: ignore[method-assign]


def _nothing_sent_again() -> None:
    from orchestrator.supervisor.supervisor import Supervisor

    Supervisor._send_due_again = lambda *_: None  # type: ignore[method-assign]


#: By what they are called on the command line; `test_simulation.py` has those that are known to be found.
PLANTED: dict[str, Callable[[], None]] = {
    "claim without needs": _script("claim", "if missing(node) > 0 then", "if false then"),
    "needs counted twice": _script(
        "prelude",
        "redis.call('HINCRBY', MISSING, name, -1) == 0",
        "redis.call('HINCRBY', MISSING, name, -2) <= 0",
    ),
    "nothing sent again": _nothing_sent_again,
    "items by name": _first_by_name,
    "commit without lease": _script(
        "prelude",
        "return record.state == 'running' and (record.token == token or record.holder == token)",
        "return record.state == 'running'",
    ),
    "held by nobody": _script(
        "prelude", "return record.holder and redis.call(", "return false and redis.call("
    ),
    "cancelled run goes on": _script("claim", "or OVER[run_state] or", "or"),
}


def plant(name: str, ready: Laboratory) -> None:
    """Put a fault into this process's code, and into Redis's scripts."""
    PLANTED[name]()
    ready.load_scripts()
