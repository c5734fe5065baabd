"""What is wrong with Redis, the store and MLflow at the moment, and what happens when a call meets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import OutOfMemoryError

from .scheduler import DAWN, Scheduler
from .stepped_redis import FULL, restore, snapshot

#: What puts messages into queues: scripts of the supervisor and of those who return messages.
_MAIL = "RPUSH"


@dataclass
class Outages:
    """Asked at each call to a service."""

    world: Scheduler
    raw: redis.Redis  #: a client whose calls are no steps
    redis_up_since: float = DAWN
    redis_away_until: float = 0.0
    redis_full_until: float = 0.0
    store_away_until: float = 0.0
    tracking_away_until: float = 0.0
    replies_to_lose: int = 0
    kept: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    after_call: Any = None  #: what looks at the state after a call that may have changed it

    def redis_is_away(self) -> bool:
        return self.world.now < self.redis_away_until

    def redis_call(self, writes: bool) -> None:
        if writes and self.world.now < self.redis_full_until:
            self.world.reply("full")
            raise OutOfMemoryError(FULL)

    def reply_is_lost(self) -> bool:
        if not self.replies_to_lose:
            return False
        self.replies_to_lose -= 1
        return True

    def redis_called(self, command: str, args: tuple[Any, ...], reply: Any) -> None:
        if command == "EVAL" and _MAIL in str(args[1]):
            self.mail_came()
        if self.after_call is not None:
            self.after_call(command, args, reply)

    def mail_came(self) -> None:
        """Whoever waits for a message looks for one."""
        for actor in self.world.actors:
            actor.idle = False

    def keep_redis(self) -> None:
        """What Redis writes to its disk now is what it has when it is started again."""
        self.kept = snapshot(self.raw)

    def restart_redis(self) -> None:
        """Redis comes back with what it had written."""
        restore(self.raw, self.kept)
        self.redis_up_since = self.world.now
        self.redis_away_until = self.world.now + 0.5
        self.mail_came()

    def wipe_redis(self) -> None:
        self.raw.flushdb()
        self.redis_up_since = self.world.now
        self.mail_came()

    def end(self) -> None:
        """All is well from now on."""
        self.redis_away_until = self.redis_full_until = 0.0
        self.store_away_until = self.tracking_away_until = 0.0
        self.replies_to_lose = 0
