"""Which of several supervisors leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

LEADER = "orc:leader"

#: Keep or take the lead. KEYS: leader. ARGV: name, lifetime in ms. Reply: 1 for whoever leads.
LEAD = """
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

#: Leave the lead. KEYS: leader. ARGV: name.
STEP_DOWN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


def leads(client: Redis, name: str, lifetime: float) -> bool:
    """Whether the supervisor `name` leads for the next `lifetime` seconds."""
    return bool(client.eval(LEAD, 1, LEADER, name, int(lifetime * 1000)))


def step_down(client: Redis, name: str) -> None:
    """Leave the lead to the next, if it is held."""
    client.eval(STEP_DOWN, 1, LEADER, name)
