"""Quarantine for unreadable messages, kept for 30 days for inspection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

#: Key of the list of entries, maximum number of entries, and their lifetime in seconds.
REFUSED, KEPT, KEPT_SECONDS = "orc:refused", 100, 30 * 86_400


@dataclass(frozen=True)
class SetAside:
    """A message that was removed from the unacknowledged ones."""

    run: RunId | None  #: the run it names, if readable
    why: str
    text: str  #: the message as stored in Redis

    def keep(self, transaction: Pipeline) -> None:
        """Prepend it to the list; drop the oldest entries above the maximum."""
        entry = {"run": self.run, "why": self.why, "text": self.text}
        transaction.lpush(REFUSED, json.dumps(entry))
        transaction.ltrim(REFUSED, 0, KEPT - 1)
        transaction.expire(REFUSED, KEPT_SECONDS)


def messages_set_aside(client: Redis) -> list[SetAside]:
    """Return all entries, latest first; malformed entries are returned as unreadable."""
    from redis.exceptions import ResponseError

    try:
        return [_read(text) for text in cast("list[str]", client.lrange(REFUSED, 0, KEPT - 1))]
    except ResponseError:
        return []  # the key is not a list


def _read(text: str) -> SetAside:
    try:
        plain = json.loads(text)
        run, why = plain["run"], plain["why"]
        return SetAside(RunId(str(run)) if run is not None else None, str(why), str(plain["text"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return SetAside(None, "it cannot be read", text)
