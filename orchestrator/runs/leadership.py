"""Which of several coordinators leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.runs.keys import LEADER
from orchestrator.runs.scripts import read_script

if TYPE_CHECKING:
    from redis import Redis


def leads(client: Redis, name: str, lifetime: float) -> bool:
    """Whether the coordinator `name` leads for the next `lifetime` seconds."""
    return bool(client.eval(read_script("lead"), 1, LEADER, name, int(lifetime * 1000)))


def current_leader(client: Redis) -> str | None:
    """The name of the coordinator that leads."""
    leader = client.get(LEADER)
    return None if leader is None else str(leader)


def step_down(client: Redis, name: str) -> None:
    """Leave the lead to the next, if it is held."""
    client.eval(read_script("step_down"), 1, LEADER, name)
