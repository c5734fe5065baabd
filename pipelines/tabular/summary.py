"""The summary of what became of a file: sentences that fit among a run's results."""

from __future__ import annotations

import json
from collections.abc import Sequence

MOST = 1000  #: characters of JSON; a longer value is not shown among the results of a run


def summary_of(lines: Sequence[str]) -> list[str]:
    """As many of the sentences as can be shown, long ones shortened, and how many there are beside them."""
    shown: list[str] = []
    for place, line in enumerate(lines):
        rest = f"and {len(lines) - place} more, which `orchestrator logs` of the node `summary` lists"
        kept = line if len(line) <= 200 else f"{line[:199].rstrip()}…"
        if len(json.dumps([*shown, kept, rest])) > MOST:
            return [*shown, rest]
        shown.append(kept)
    return shown
