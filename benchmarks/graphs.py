"""Random graphs of sleeping stages that no nesting of chains and chords can express."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

#: How many nodes a graph has, how many needs a node has, and how long a node takes, in seconds.
NODES, NEEDS, SECONDS = (15, 40), (1, 3), (0.05, 0.3)
#: How many of the nodes before it a node chooses its needs from.
NEAR = 8
#: The share of nodes that need nothing.
ROOTS = 0.1


@dataclass(frozen=True)
class SleepingGraph:
    """Nodes by number, each behind all that it needs."""

    seconds: Sequence[float]
    needs: Sequence[Sequence[int]]

    def ends(self) -> list[float]:
        """When each node ends if it starts with the last of its needs, in seconds from the start."""
        ends: list[float] = []
        for seconds, needs in zip(self.seconds, self.needs, strict=True):
            ends.append(seconds + max((ends[need] for need in needs), default=0.0))
        return ends

    @property
    def critical_path(self) -> float:
        """The shortest time that it can take, with slots for all, in seconds."""
        return max(self.ends())

    @property
    def width(self) -> int:
        """How many nodes run at once when each starts as early as it can."""
        ends = self.ends()
        starts = [end - seconds for end, seconds in zip(ends, self.seconds, strict=True)]
        return max(
            sum(start <= moment < end for start, end in zip(starts, ends, strict=True)) for moment in starts
        )

    @property
    def series_parallel(self) -> bool:
        """Whether chains and groups, nested, could express it.

        They can exactly when its order has no "N" (Valdes, Tarjan and Lawler, 1982): a before c and d, b
        before d alone, nothing else among the four in order.
        """
        before = self._before()

        def ordered(one: int, other: int) -> bool:
            return one in before[other] or other in before[one]

        for left, right in combinations(range(len(self.seconds)), 2):
            if ordered(left, right):
                continue
            for a, b in ((left, right), (right, left)):
                shared = [node for node in range(len(before)) if a in before[node] and b in before[node]]
                own = [node for node in range(len(before)) if a in before[node] and not ordered(b, node)]
                if any(not ordered(c, d) for c in own for d in shared):
                    return False
        return True

    def _before(self) -> list[set[int]]:
        before: list[set[int]] = []
        for needs in self.needs:
            before.append(set(needs).union(*(before[need] for need in needs)))
        return before


@cache
def random_graph(seed: int) -> SleepingGraph:
    """The graph of this number; always the same one, never series-parallel."""
    chance = random.Random(seed)
    while True:
        graph = _draw(chance)
        if not graph.series_parallel:
            return graph


def _draw(chance: random.Random) -> SleepingGraph:
    size = chance.randint(*NODES)
    seconds = [round(chance.uniform(*SECONDS), 3) for _ in range(size)]
    needs: list[list[int]] = []
    for node in range(size):
        near = range(max(0, node - NEAR), node)
        wanted = 0 if chance.random() < ROOTS else chance.randint(*NEEDS)
        needs.append(sorted(chance.sample(near, min(wanted, len(near)))))
    return SleepingGraph(seconds, needs)
