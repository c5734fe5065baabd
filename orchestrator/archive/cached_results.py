"""Where the results are that later runs may reuse, and which runs they belong to.

A cached result belongs to the run that made it and to the one that used it last; it goes when both are gone.
"""

from __future__ import annotations

import json

from orchestrator.run_id import RunId

#: The folder of cached results, and of what the last run of each node was made from.
CACHE = "cache"


def result_key(fingerprint: str) -> str:
    """Return where the result of this fingerprint is."""
    return f"{CACHE}/{fingerprint}.json"


def latest_key(pipeline: str, node: str) -> str:
    """Return where it stands what a node was made from when its result was cached last."""
    return f"{CACHE}/latest/{pipeline}/{node}.json"


def owners(data: bytes) -> frozenset[RunId]:
    """Return the runs that an entry belongs to; none if it cannot be read."""
    try:
        plain = json.loads(data)
        return frozenset(RunId(str(plain[part])) for part in ("run", "used") if part in plain)
    except (ValueError, TypeError):
        return frozenset()
