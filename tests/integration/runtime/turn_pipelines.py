"""Pipelines of short stages, which one delivery runs one after the other."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from orchestrator import Retry, pipeline, stage
from orchestrator.messaging.priorities import DEFAULT


def called(folder: str, name: str) -> int:
    """Note a call; returns how many there were before."""
    for number in range(1000):
        try:
            (Path(folder) / f"{name}-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise OverflowError(name)


@stage
def step(folder: str, name: str, seconds: float = 0.0) -> int:
    """Returns the process that it ran in."""
    called(folder, name)
    time.sleep(seconds)
    return os.getpid()


@stage
def die_once(folder: str, name: str) -> int:
    if not called(folder, name):
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@stage(retry=Retry(on=(OSError,), times=2, backoff=0.1))
def fail_twice(folder: str, name: str) -> int:
    if called(folder, name) < 2:
        raise OSError("not yet")
    return os.getpid()


@stage
def refuse(folder: str, name: str) -> int:
    called(folder, name)
    raise ValueError("no")


@stage
def grow(values: list[int]) -> list[int]:
    """Changes its argument in place."""
    values.append(len(values))
    return values


@stage
def together(folder: str, parts: list[int]) -> int:
    called(folder, "together")
    return len(parts)


#: What the middle of `turn` may be.
MIDDLES = {stage.function.__name__: stage for stage in (step, die_once, fail_twice, refuse)}


@pipeline
def turn(folder: str, length: int, middle: str = "step", at: int = 1) -> None:
    """A chain of steps, one of which is another stage."""
    last = step(folder, "0")
    for number in range(1, length):
        last = (MIDDLES[middle] if number == at else step).after(last)(folder, str(number))


@pipeline
def slow_line(folder: str, length: int, seconds: float) -> None:
    """A chain of steps that each take so long."""
    last = step(folder, "0", seconds)
    for number in range(1, length):
        last = step.after(last)(folder, str(number), seconds)


@pipeline
def growing() -> None:
    first = grow([])
    second = grow(first)
    grow(second)
    grow.after(second)(first)


@pipeline
def forked(folder: str, branches: int, seconds: float) -> None:
    """A node, branches of two nodes each, and what needs them all."""
    first = step(folder, "first")
    ends = []
    for number in range(branches):
        middle = step.after(first)(folder, f"middle-{number}", seconds)
        ends.append(step.after(middle)(folder, f"end-{number}"))
    step.after(together(folder, ends))(folder, "last")


@pipeline
def three(folder: str, name: str) -> None:
    first = step(folder, f"{name}-a")
    second = step.after(first)(folder, f"{name}-b")
    step.after(second)(folder, f"{name}-c")


@pipeline
def of_one_level(folder: str) -> None:
    """No priority is the same as the one in the middle."""
    first = step(folder, "a")
    second = step.options(priority=DEFAULT).after(first)(folder, "b")
    step.after(second)(folder, "c")


@stage
def wait_for(folder: str, name: str, marker: str) -> int:
    called(folder, name)
    while not (Path(folder) / marker).exists():
        time.sleep(0.01)
    return os.getpid()


@pipeline
def held(folder: str) -> None:
    """The second node waits for a file `go`."""
    step.after(wait_for.after(step(folder, "first"))(folder, "second", "go"))(folder, "third")


@stage
def nap(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


@pipeline
def naps(items: int, seconds: float) -> None:
    nap.partial(seconds=seconds).map(number=list(range(items)))


@stage(priority=0)
def first_of_all(folder: str, name: str) -> int:
    called(folder, name)
    return time.time_ns()


@stage(priority=9)
def last_of_all(folder: str, name: str) -> int:
    called(folder, name)
    return time.time_ns()


@stage
def in_between(folder: str, name: str) -> int:
    called(folder, name)
    return time.time_ns()


@pipeline
def by_priority(folder: str) -> None:
    """Sent in the wrong order."""
    last_of_all(folder, "last")
    in_between(folder, "middle")
    first_of_all(folder, "first")
