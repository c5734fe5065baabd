"""Makes a case that fails smaller: fewer faults first, then fewer nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .simulation import Case


def shrunk(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest case found that still fails; each step leaves one thing out."""
    while True:
        smaller = next((each for each in _smaller(case) if fails(each)), None)
        if smaller is None:
            return case
        case = smaller


def _smaller(case: Case) -> Iterator[Case]:
    for gone in range(len(case.faults)):
        yield replace(case, faults=case.faults[:gone] + case.faults[gone + 1 :])
    for gone in reversed(range(len(case.shape.steps))):
        shape = case.shape.without(gone)
        if shape is not None:
            yield replace(case, shape=shape)
    if case.shape.handler:
        yield replace(case, shape=replace(case.shape, handler=False))
    if case.shape.fail_fast:
        yield replace(case, shape=replace(case.shape, fail_fast=False))
    for at, step in enumerate(case.shape.steps):
        for plainer in (
            replace(step, training=False),
            replace(step, plan="ok"),
            replace(step, after=()),
            replace(step, only_if=None),
            replace(step, tolerate=0.0),
        ):
            if plainer != step:
                steps = (*case.shape.steps[:at], plainer, *case.shape.steps[at + 1 :])
                yield replace(case, shape=replace(case.shape, steps=steps))
