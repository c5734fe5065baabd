"""What is known to go wrong and is not mended yet: it is counted, and does not fail the simulation."""

from __future__ import annotations

from .simulation import Case


def known(case: Case, breach: str) -> str | None:
    """Why this one is no news."""
    kinds = {fault.kind for fault in case.faults}
    if "[" in breach and " gave was " in breach and kinds & {"restart Redis", "wipe Redis"}:
        return "two attempts of an item have the same number, since Redis forgot the first"
    return None
