"""Which faults hit which run, and when: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .faults import EXCLUSIVE

#: Seconds after the submission in which faults begin; an undisturbed run takes about as long.
SPAN = 1.6


@dataclass(frozen=True)
class Planned:
    """One fault of one run."""

    fault: str
    at: float  #: seconds after the submission
    seed: str  #: of its own chances: which worker, how long


def schedule(seed: int, number: int, kinds: Sequence[str]) -> tuple[Planned, ...]:
    """One to three faults for a run. The first one goes through all kinds in turn, so that none is rare."""
    chance = random.Random(f"{seed}/{number}")
    chosen = [kinds[(seed + number) % len(kinds)]]
    for kind in (chance.choice(kinds) for _ in range(chance.randrange(3))):
        if not any(kind in group and group & set(chosen) for group in EXCLUSIVE):
            chosen.append(kind)
    planned = [
        Planned(kind, round(chance.uniform(0.0, SPAN), 3), f"{seed}/{number}/{place}")
        for place, kind in enumerate(chosen)
    ]
    return tuple(sorted(planned, key=lambda each: each.at))
