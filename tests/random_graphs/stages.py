"""The stages of random graphs: each leaves a line per call, so that calls can be counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from orchestrator import Failure, Retry, context, stage
from orchestrator.settings import settings

#: Further attempts that `flaky` is granted.
RETRIES = 2

#: Calls in this process, by node and item.
calls: Counter[str] = Counter()


class Parts(NamedTuple):
    low: int
    high: int
    even: bool
    several: list[int]


def folder_of(run: str) -> Path:
    """Where the calls of a run on workers are written down: a file for each node and item."""
    return settings().home / "calls" / run


def note_call() -> None:
    calls[context.node] += 1
    if context.run != "local":
        folder = folder_of(context.run)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / context.node).open("a") as file:
            file.write(f"attempt {context.attempt}\n")


@stage
def double(value: int) -> int:
    note_call()
    return 2 * value + 1


@stage
def picky(value: int, bad: int) -> int:
    note_call()
    if value % 4 < bad:
        raise RuntimeError(f"{value} is bad")
    return value + 100


@stage(retry=Retry(on=(OSError,), times=RETRIES, backoff=0.05))
def flaky(value: int, modulus: int) -> int:
    note_call()
    failures = value % modulus
    if failures > RETRIES or context.attempt <= failures:
        raise OSError(f"{value} is not ready at attempt {context.attempt}")
    return value + 1000


@stage(cache=True)
def cached(value: int, key: str) -> int:
    note_call()
    return 3 * value


@stage
def add(values: list[int]) -> int:
    note_call()
    return sum(values) % 1009


@stage
def flatten(lists: list[list[int]]) -> list[int]:
    note_call()
    return [value for values in lists for value in values][:6]


@stage
def spread(value: int, most: int) -> list[int]:
    note_call()
    return list(range(value, value + value % (most + 1)))


@stage
def take_apart(value: int) -> Parts:
    note_call()
    return Parts(value // 2, value - value // 2, value % 2 == 0, list(range(value % 4)))


@stage
def is_even(value: int) -> bool:
    note_call()
    return value % 2 == 0


@stage
def report(failure: Failure) -> list[str]:
    """The node that the run's error names, then all that have failed."""
    note_call()
    return [failure.error.partition(":")[0], *sorted(node.name for node in failure.nodes)]


@stage
def report_in_vain(failure: Failure) -> None:
    note_call()
    raise RuntimeError("nobody listens")
