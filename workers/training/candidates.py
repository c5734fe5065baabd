"""Candidates: a model family with its settings, and how each did in cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

Setting: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Candidate:
    """One model that might be the best: a family of the catalogue, and settings that differ from its own."""

    family: str
    settings: dict[str, Setting] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in self.settings.items())})"

    @property
    def parameters(self) -> Mapping[str, Setting]:
        """Family and settings side by side, as they are logged."""
        return {"family": self.family, **self.settings}


@dataclass(frozen=True)
class Scored:
    """How a candidate did: mean and standard deviation of a measure over the folds (see `cross_validate`)."""

    candidate: Candidate
    measure: str
    mean: float
    spread: float


def grid(family: str, **settings: Sequence[Setting]) -> list[Candidate]:
    """A candidate for every combination: `grid("svm", C=[1.0, 10.0], gamma=["scale"])` gives two."""
    return [
        Candidate(family, dict(zip(settings, values, strict=True))) for values in product(*settings.values())
    ]


def leader(scored: Sequence[Scored]) -> Scored:
    """The candidate with the highest mean; among equals the one named first."""
    return max(scored, key=lambda each: each.mean)


def better_half(scored: Sequence[Scored]) -> list[Candidate]:
    """The candidates that go on to a round with more rows (successive halving), the best one first.

    The best of each family is among them, since families differ in what more rows are worth to them.
    """
    ranked = sorted(scored, key=lambda each: each.mean, reverse=True)
    leaders = {each.candidate.family: each for each in reversed(ranked)}.values()
    others = [each for each in ranked if each not in leaders]
    chosen = [*leaders, *others[: max(0, len(ranked) // 2 - len(leaders))]]
    return [each.candidate for each in ranked if each in chosen]


def standings(scored: Sequence[Scored]) -> str:
    """All candidates from best to worst, as a Markdown table."""
    ranked = sorted(scored, key=lambda each: each.mean, reverse=True)
    rows = [f"| {each.candidate} | {each.mean:.4f} | {each.spread:.4f} |" for each in ranked]
    return "\n".join([f"| candidate | {ranked[0].measure} | ± |", "|---|---|---|", *rows, ""])
