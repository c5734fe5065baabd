"""Live log lines of running attempts, as Redis streams, for clients that follow a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys

if TYPE_CHECKING:
    from redis import Redis

#: Approximate number of lines kept per node in Redis.
LOOKBACK = 5_000


def send_lines(
    client: Redis, run: RunId, node: str, attempt: int, lines: Iterable[str], retention: int
) -> None:
    """Append lines of an attempt, and let all lines of its node expire after `retention` seconds.

    In one transaction: lines sent without an expiry might stay for ever.
    """
    key = RunKeys(run).log(node)
    with client.pipeline(transaction=True) as pipe:
        for line in lines:
            fields = {"attempt": str(attempt), "line": line}
            pipe.xadd(key, fields, maxlen=LOOKBACK, approximate=True)  # type: ignore[arg-type]
        pipe.expire(key, retention)
        pipe.execute()


def read_lines(client: Redis, run: RunId, node: str, after: str = "0") -> list[tuple[str, str]]:
    """Return a node's lines after position `after`, each with its position, as `ATTEMPT LINE`."""
    start = "-" if after == "0" else f"({after}"
    entries = cast("list[tuple[str, dict[str, str]]]", client.xrange(RunKeys(run).log(node), min=start))
    return [(position, f"{fields['attempt']} {fields['line']}") for position, fields in entries]
