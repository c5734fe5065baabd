"""Takes two measurements in turn, so that whatever else the machine does meets both alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

Measurement = Callable[[], float]


@dataclass(frozen=True)
class Duel:
    """What two contenders took, in seconds, run by run."""

    ours: Sequence[float]
    baseline: Sequence[float]

    @property
    def our_median(self) -> float:
        return median(self.ours)

    @property
    def baseline_median(self) -> float:
        return median(self.baseline)

    @property
    def ratio(self) -> float:
        """Our median time as a multiple of the baseline's."""
        return self.our_median / self.baseline_median

    @property
    def gain(self) -> float:
        """How many times as fast as the baseline we are."""
        return 1 / self.ratio

    @property
    def ratios(self) -> Sequence[float]:
        """The ratios of the two runs of each round, smallest first."""
        return sorted(mine / other for mine, other in zip(self.ours, self.baseline, strict=True))


def duel(ours: Measurement, baseline: Measurement, *, rounds: int, warm_up: int) -> Duel:
    """Run both in turn, first `warm_up` rounds in vain; each goes first in every other round."""
    mine: list[float] = []
    other: list[float] = []
    for number in range(warm_up + rounds):
        order = [(ours, mine), (baseline, other)]
        for contender, times in order if number % 2 == 0 else reversed(order):
            seconds = contender()
            if number >= warm_up:
                times.append(seconds)
    return Duel(mine, other)
