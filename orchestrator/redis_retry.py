"""How long a process waits for a Redis that is away.

Most give up at once, and say so. A process that runs stages waits as long as it takes: it holds a
result that is stored and not yet recorded, and has nothing else to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.retry import Retry

#: Tries of one call to Redis before it is an error, and the longest wait between two, in seconds.
TRIES, LONGEST = 3, 1.0

_endless = False


def wait_for_ever() -> None:
    """From here on, this process's calls to Redis return once it answers; for clients not yet made."""
    global _endless
    _endless = True


def retry() -> Retry:
    """How a client tries again: after 20 ms, then after up to three times as long, and so on."""
    from redis.backoff import DecorrelatedJitterBackoff
    from redis.retry import Retry

    return Retry(DecorrelatedJitterBackoff(cap=LONGEST, base=0.02), -1 if _endless else TRIES)
