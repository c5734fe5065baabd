"""Pipelines of which an earlier version kept runs, in `earlier_home.tar.xz`."""

from __future__ import annotations

import os

from orchestrator import context, pipeline, stage


@stage(queue="data")
def read(rows: int) -> list[int]:
    return list(range(rows))


@stage(queue="data")
def double(row: int) -> int:
    return 2 * row


@stage(queue="training")
def add(rows: list[int]) -> int:
    context.log_metric("total", sum(rows))
    return sum(rows)


@stage(queue="data")
def check(total: int) -> int:
    if "BOOKS_CLOSED" not in os.environ:
        raise ValueError("the books are not closed yet")
    return total


@pipeline
def books(rows: int = 12) -> None:
    """Add up doubled rows; it fails while the books are open."""
    check(add(double.map(row=read(rows))))


@pipeline
def entries(rows: int = 4) -> None:
    """The same, without the check."""
    add(double.map(row=read(rows)))
