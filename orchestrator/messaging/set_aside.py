"""Messages of which nobody could make anything: kept for a while, for whoever asks what became of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

#: A list of entries, how many of them are kept, and for how long.
REFUSED, KEPT, KEPT_SECONDS = "orc:refused", 100, 30 * 86_400


@dataclass(frozen=True)
class SetAside:
    """A message that was taken away from those that workers have fetched."""

    run: RunId | None  #: that it names, where that can be read
    why: str
    text: str  #: as it lay in Redis

    def keep(self, transaction: Pipeline) -> None:
        """Put it before the others; the oldest go."""
        entry = {"run": self.run, "why": self.why, "text": self.text}
        transaction.lpush(REFUSED, json.dumps(entry))
        transaction.ltrim(REFUSED, 0, KEPT - 1)
        transaction.expire(REFUSED, KEPT_SECONDS)


def messages_set_aside(client: Redis) -> list[SetAside]:
    """All of them, the latest first; whoever can write to Redis may have written here, too."""
    from redis.exceptions import ResponseError

    try:
        return [_read(text) for text in cast("list[str]", client.lrange(REFUSED, 0, KEPT - 1))]
    except ResponseError:
        return []  # it is no list


def _read(text: str) -> SetAside:
    try:
        plain = json.loads(text)
        run, why = plain["run"], plain["why"]
        return SetAside(RunId(str(run)) if run is not None else None, str(why), str(plain["text"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return SetAside(None, "it cannot be read", text)
