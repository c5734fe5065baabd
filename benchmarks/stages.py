"""Our side of each comparison: stages that do nothing, or sleep, and the pipelines made of them."""

from __future__ import annotations

import time

from benchmarks.graphs import random_graph
from orchestrator import context, pipeline, stage


@stage
def step(value: int) -> int:
    """Nothing, with something to pass on."""
    return value


@stage
def numbers(count: int) -> list[int]:
    """A list to fan out over."""
    return list(range(count))


@stage
def count(values: list[int]) -> int:
    """The end of a fan-out."""
    return len(values)


@stage
def sleep(seconds: float, needs: list[bool]) -> bool:
    """Something that takes exactly so long."""
    del needs
    time.sleep(seconds)
    return True


@pipeline
def line(length: int) -> None:
    """Stages that do nothing, one behind the other."""
    value = step(0)
    for _ in range(length - 1):
        value = step(value)


@pipeline
def fan(width: int, queue: str = "data") -> None:
    """1 → width → 1 stages that do nothing, those in the middle on a queue."""
    count(step.options(queue=queue).map(value=numbers(width)))


@stage
def nap(number: int, seconds: float) -> int:
    """A short item of a long map."""
    time.sleep(seconds)
    return number


@pipeline
def following(items: int, seconds: float, longest: float) -> None:
    """A map, whose first item takes long, and one that follows it item by item."""
    first = nap.map(number=list(range(items)), seconds=[longest] + [seconds] * (items - 1))
    nap.partial(seconds=seconds).map(number=first)


@pipeline
def waiting(items: int, seconds: float, longest: float) -> None:
    """The same, but the second map waits for the last item of the first."""
    first = nap.map(number=list(range(items)), seconds=[longest] + [seconds] * (items - 1))
    nap.after(first).partial(seconds=seconds).map(number=first)


@pipeline
def flat(items: int) -> None:
    """A map of empty items, one that follows it, and what takes all of that."""
    count(step.map(value=step.map(value=numbers(items))))


@pipeline
def row(number: int, width: int) -> int:
    """The same for a part of the items."""
    del number
    return count(step.map(value=step.map(value=numbers(width))))


@pipeline
def square(width: int) -> None:
    """So many of those parts, side by side."""
    count(row.partial(width=width).map(number=numbers(width)))


@pipeline
def naps(items: int, seconds: float) -> None:
    """A long map of short items."""
    nap.partial(seconds=seconds).map(number=list(range(items)))


@stage(queue="training")
def trial(number: int) -> int:
    """Something that logs one metric."""
    context.log_metric("loss", 1.0 / (number + 1))
    return number


@pipeline
def trials(width: int) -> None:
    """A map of items that each log one metric."""
    count(trial.map(number=numbers(width)))


@pipeline
def maze(seed: int) -> None:
    """A random graph of sleeping stages."""
    graph = random_graph(seed)
    done: list[bool] = []
    for seconds, needs in zip(graph.seconds, graph.needs, strict=True):
        done.append(sleep(seconds, [done[need] for need in needs]))
