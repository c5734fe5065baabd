"""Candidates: model families with their settings, and their cross-validation scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

Setting: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Candidate:
    """One candidate model: a family of the catalogue, and settings that override its defaults."""

    family: str
    settings: dict[str, Setting] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in self.settings.items())})"

    @property
    def parameters(self) -> Mapping[str, Setting]:
        """Family and settings in one mapping, as logged."""
        return {"family": self.family, **self.settings}


@dataclass(frozen=True)
class Scored:
    """A candidate's score: mean and standard deviation of a measure over the folds (see `cross_validate`)."""

    candidate: Candidate
    measure: str
    mean: float
    spread: float


def grid(family: str, **settings: Sequence[Setting]) -> list[Candidate]:
    """Return a candidate for every combination: `grid("svm", C=[1.0, 10.0], gamma=["scale"])` returns two."""
    return [
        Candidate(family, dict(zip(settings, values, strict=True))) for values in product(*settings.values())
    ]


def leader(scored: Sequence[Scored]) -> Scored:
    """Return the candidate with the highest mean; of equal ones the first."""
    return max(scored, key=lambda each: each.mean)


def better_half(scored: Sequence[Scored]) -> list[Candidate]:
    """Return the candidates for the next round with more rows (successive halving), best first.

    They include the best of each family, since families benefit differently from more rows.
    """
    ranked = sorted(scored, key=lambda each: each.mean, reverse=True)
    leaders = {each.candidate.family: each for each in reversed(ranked)}.values()
    others = [each for each in ranked if each not in leaders]
    chosen = [*leaders, *others[: max(0, len(ranked) // 2 - len(leaders))]]
    return [each.candidate for each in ranked if each in chosen]


def standings(scored: Sequence[Scored]) -> str:
    """Format all candidates, best first, as a Markdown table."""
    ranked = sorted(scored, key=lambda each: each.mean, reverse=True)
    rows = [f"| {each.candidate} | {each.mean:.4f} | {each.spread:.4f} |" for each in ranked]
    return "\n".join([f"| candidate | {ranked[0].measure} | ± |", "|---|---|---|", *rows, ""])
