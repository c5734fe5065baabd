"""How far the loops of a stage have come: `for batch in context.progress(batches): …`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from orchestrator.authoring.masking import mask_text

log = logging.getLogger("orchestrator.stage")

T = TypeVar("T")

#: Characters of a description.
LONGEST = 100
#: Seconds between two lines in the log, outside a worker.
LOG_PACE = 1.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a loop has come."""

    done: int  #: items
    total: int | None = None  #: items; None if that is not known
    description: str = ""
    seconds: float = 0.0  #: since the loop began

    @property
    def count(self) -> str:
        """`12/30`; without a total, `12`."""
        return str(self.done) if self.total is None else f"{self.done}/{self.total}"

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on like this; None while that cannot be said."""
        if self.total is None or not 0 < self.done <= self.total:
            return None
        return self.seconds / self.done * (self.total - self.done)


class Loops:
    """The loops of one attempt that go on. Loops may be nested, or run in threads side by side."""

    def __init__(self, moved: Callable[[], None], clock: Callable[[], float] = monotonic) -> None:
        """`moved` is called when a loop begins, and after each of its items: it has to be quick."""
        self._moved = moved
        self._clock = clock
        self._open: list[_Loop] = []

    @property
    def latest(self) -> Progress | None:
        """How far the loop has come that was begun last, of those that go on."""
        for loop in reversed(self._open.copy()):
            return Progress(
                done=loop.done,
                total=loop.total,
                description=loop.description,
                seconds=self._clock() - loop.began,
            )
        return None

    def over(self, items: Iterable[T], total: int | None, description: str) -> Iterator[T]:
        """Yield the items, and count those that the caller is done with.

        `total` is their number, by default `len(items)`. Raises TypeError, ValueError.
        """
        if total is None and isinstance(items, Sized):
            with suppress(TypeError):  # the loader of a stream has a length that it does not know
                total = len(items)
        if total is not None and total < 0:
            raise ValueError(f"the total of a progress is {total}: give a number of items, or none")
        told = " ".join(mask_text(description).split())[:LONGEST]
        return self._count(iter(items), total, told)

    def _count(self, items: Iterator[T], total: int | None, description: str) -> Iterator[T]:
        loop = _Loop(total, description, self._clock())
        self._open.append(loop)
        try:
            self._moved()
            for item in items:
                yield item
                loop.done += 1
                self._moved()
        finally:
            self._open.remove(loop)


@dataclass(eq=False)
class _Loop:
    total: int | None
    description: str
    began: float
    done: int = 0


def logged_loops(clock: Callable[[], float] = monotonic) -> Loops:
    """Loops outside a worker, of which the log tells, a line a second at most."""
    told_at: float | None = None

    def tell() -> None:
        nonlocal told_at
        latest, now = loops.latest, clock()
        if latest is None or (told_at is not None and now - told_at < LOG_PACE):
            return
        told_at = now
        lead = f"{latest.description}: " if latest.description else ""
        log.info("progress %s%s", lead, latest.count)

    loops = Loops(tell, clock)
    return loops
