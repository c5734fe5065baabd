"""The lists over all runs: stored beside the runs, and repaired from them.

A transition touches the keys of one run only, which share a hash tag. So a list over all runs cannot change
atomically with a run, and a process that changes both may be paused or killed in between. These rules keep
the lists correct:

- A run is listed after it was submitted or reopened, so an entry without a run is stale.
- A process that removes an entry reads the run afterwards, and restores the entry if the run is open.
- `repair` rebuilds the lists from the runs themselves, after a killed process or Redis has lost entries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError

from orchestrator.run_id import RunId
from orchestrator.runs.keys import ALL_RUNS, UNFINISHED_RUNS, RunKeys
from orchestrator.runs.states import RunState

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger("orchestrator.listing")

#: Number of runs read per round trip.
_MANY = 1000


@dataclass(frozen=True)
class _Outline:
    """The fields that determine which lists a run belongs to."""

    state: RunState | None = None  #: None: its data in Redis is malformed
    known: bool = True
    concluded: bool = False
    submitted: float = 0.0  #: seconds since 1970

    @property
    def unfinished(self) -> bool:
        """Whether it has not ended, or is not concluded yet."""
        return self.known and not self.concluded


def add_to_lists(client: Redis, run: RunId, submitted: float) -> None:
    """List a run that was just submitted or reopened; `submitted` is in seconds since 1970.

    If Redis fails here, the run exists all the same, and `repair` lists it later.
    """
    try:
        with client.pipeline(transaction=False) as pipe:
            pipe.sadd(UNFINISHED_RUNS, run)
            pipe.zadd(ALL_RUNS, {run: submitted}, nx=True)
            pipe.execute()
    except RedisError as error:
        log.warning("run %s is listed later: %s", run, error, extra={"action": "not_listed", "run": run})


def remove_from_unfinished(client: Redis, run: RunId) -> None:
    """Remove a concluded or unknown run from the list of unfinished runs, unless it was reopened."""
    client.srem(UNFINISHED_RUNS, run)
    if _outline(client, run).unfinished:
        client.sadd(UNFINISHED_RUNS, run)


def unfinished(client: Redis) -> dict[RunId, RunState | None]:
    """Return the runs that are not concluded yet, with their states; None if a run's data is malformed."""
    outlines = _outlines(client, _listed(client))
    return {run: outline.state for run, outline in outlines.items() if outline.unfinished}


def repair(client: Redis) -> list[RunId]:
    """Make the lists agree with the existing runs; return the unfinished runs that were not listed."""
    outlines = _outlines(client, _runs_there_are(client))
    listed, told = set(_listed(client)), set(_ids(client.zrange(ALL_RUNS, 0, -1)))
    outlines |= _outlines(client, (listed | told) - set(outlines))
    missed = [run for run, outline in outlines.items() if outline.unfinished and run not in listed]
    for run in missed:
        add_to_lists(client, run, outlines[run].submitted)
    for run in (*missed, *listed):
        if not outlines[run].unfinished:
            remove_from_unfinished(client, run)
    for run, outline in outlines.items():
        if outline.known and run not in told:
            client.zadd(ALL_RUNS, {run: outline.submitted}, nx=True)
        elif run in told and not outline.known:
            remove_from_all(client, run)
    return missed


def remove_from_all(client: Redis, run: RunId) -> None:
    """Remove a run that Redis does not know any more from the list of all runs, unless it was reopened."""
    client.zrem(ALL_RUNS, run)
    if (outline := _outline(client, run)).known:
        client.zadd(ALL_RUNS, {run: outline.submitted}, nx=True)


def _runs_there_are(client: Redis) -> list[RunId]:
    before, after = RunKeys(RunId("*")).meta.split("*")
    found = client.scan_iter(match=f"{before}*{after}", count=_MANY)
    return [RunId(str(key).removeprefix(before).removesuffix(after)) for key in found]


def _listed(client: Redis) -> list[RunId]:
    return _ids(client.smembers(UNFINISHED_RUNS))


def _ids(names: object) -> list[RunId]:
    return [RunId(str(name)) for name in cast("Iterable[str]", names)]


def _outline(client: Redis, run: RunId) -> _Outline:
    return _outlines(client, [run])[run]


def _outlines(client: Redis, runs: Iterable[RunId]) -> dict[RunId, _Outline]:
    """Read the outline of each run, `_MANY` per round trip."""
    found: dict[RunId, _Outline] = {}
    left = iter(runs)
    while some := list(islice(left, _MANY)):
        with client.pipeline(transaction=False) as pipe:
            for run in some:
                pipe.hmget(RunKeys(run).meta, "state", "concluded", "submitted")
            replies = pipe.execute(raise_on_error=False)
        found.update(zip(some, map(_as_outline, replies), strict=True))
    return found


def _as_outline(reply: Sequence[str | None] | Exception) -> _Outline:
    """Convert a reply; a run whose key is not a hash counts as known, so that it stays listed."""
    if isinstance(reply, Exception):
        return _Outline()
    state, concluded, submitted = reply
    return _Outline(
        state=RunState(state) if state in set(RunState) else None,
        known=any(part is not None for part in reply),
        concluded=concluded is not None,
        submitted=int(submitted) / 1e6 if submitted and submitted.isdecimal() else 0.0,
    )
