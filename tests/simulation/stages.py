"""The stages of simulated graphs: what they return tells which call made it, and from what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator import Failure, Retry, context, stage

#: Called when a function begins, with what it was given; returns a number that no other call returns.
played: list[Callable[[str, int, str, Any], int]] = []


def play(plan: str, given: object) -> int:
    """Begin, and fail where that is the plan: `fail`, or `flaky` at the first tries."""
    return played[0](context.node, context.attempt, plan, given)


@stage(retry=Retry(on=(OSError,), times=2, backoff=0.5))
def make(needs: list[int], lists: list[list[int]], plan: str) -> int:
    return play(plan, (needs, lists))


@stage(queue="training", retry=Retry(on=(OSError,), times=2, backoff=0.5))
def fit(needs: list[int], lists: list[list[int]], plan: str) -> int:
    """A model is the number of the call that made it."""
    call = play(plan, (needs, lists))
    context.log_model(call, example=None)
    return call


@stage
def spread(needs: list[int], lists: list[list[int]], plan: str, length: int) -> list[int]:
    first = play(plan, (needs, lists))
    return [first * 100 + index for index in range(length)]


@stage(retry=Retry(on=(OSError,), times=2, backoff=0.5))
def each(item: int, needs: list[int], lists: list[list[int]], plan: str) -> int:
    return play(f"{plan} {item % 100}", (item, needs, lists))


@stage
def decide(needs: list[int], lists: list[list[int]], plan: str, truth: bool) -> bool:
    play(plan, (needs, lists))
    return truth


@stage
def judge(item: int, needs: list[int], lists: list[list[int]], plan: str) -> bool:
    """Whether what is behind it runs, in this copy."""
    play(plan, (item, needs, lists))
    return item % 2 == 0


@stage
def report(failure: Failure) -> int:
    return play("ok", len(failure.nodes))
