"""Leader election among coordinators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.runs.keys import LEADER
from orchestrator.runs.scripts import read_script

if TYPE_CHECKING:
    from redis import Redis


def leads(client: Redis, name: str, lifetime: float) -> bool:
    """Acquire or renew the lead for `lifetime` seconds; return whether the coordinator `name` leads."""
    return bool(client.eval(read_script("lead"), 1, LEADER, name, int(lifetime * 1000)))


def step_down(client: Redis, name: str) -> None:
    """Release the lead if the coordinator `name` holds it."""
    client.eval(read_script("step_down"), 1, LEADER, name)
