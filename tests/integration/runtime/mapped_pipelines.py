"""Pipelines that are mapped: each copy of them goes on by itself."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

from orchestrator import pipeline, stage


@stage
def count_to(count: int) -> list[int]:
    return list(range(count))


@stage
def wait_for_file(value: int, folder: str) -> int:
    """Go on once there is a file of this number."""
    while not (Path(folder) / str(value)).exists():
        time.sleep(0.01)
    return value


@stage
def double(value: int, folder: str) -> int:
    """Tell that it was called."""
    (Path(folder) / f"doubled {value} {uuid4().hex}").touch()
    return 2 * value


@stage
def is_even(value: int) -> bool:
    return value % 2 == 0


@stage(queue="training")
def fit(value: int) -> int:
    return 10 * value


@stage
def fail_until_mended(value: int, folder: str) -> int:
    if value == 1 and not (Path(folder) / "mended").exists():
        raise RuntimeError("not mended yet")
    return value


@stage
def same(value: int) -> int:
    return value


@stage
def sum_of(left: int, right: int) -> int:
    return left + right


@stage
def total(values: list[int]) -> int:
    return sum(values)


@stage
def collect(values: list[int], folder: str) -> list[int]:
    """Tell that it was called."""
    (Path(folder) / f"collected {uuid4().hex}").touch()
    return values


@pipeline
def release(value: int, folder: str) -> int:
    """Wait for a file of this number, then go on; only what is even is fitted."""
    first = wait_for_file(value, folder)
    both = sum_of(double(first, folder), first)
    return fit.only_if(is_even(first))(both)


@pipeline
def releases(folder: str) -> None:
    collect(release.partial(folder=folder).map(value=count_to(4)), folder)


@pipeline
def mend(value: int, folder: str) -> int:
    """The copy of 1 fails until that is mended."""
    doubled = double(value, folder)
    return sum_of(fail_until_mended.after(doubled)(value, folder), doubled)


@pipeline
def mended(folder: str) -> None:
    collect(mend.partial(folder=folder).map(value=count_to(3)), folder)


@pipeline
def mended_beside(folder: str) -> None:
    """What fails until it is mended is beside copies of which some are skipped."""
    collect(release.partial(folder=folder).map(value=count_to(3)), folder)
    fail_until_mended(1, folder)


@pipeline
def pair(left: int, right: int) -> int:
    return sum_of(same(left), right)


@pipeline
def pairs(first: int, second: int) -> None:
    """Lists whose lengths are known late."""
    pair.map(left=count_to(first), right=count_to(second))


@pipeline
def twice(value: int) -> int:
    first = same(value)
    return sum_of(first, same.after(first)(value))


@pipeline
def many(count: int) -> None:
    total(twice.map(value=count_to(count)))


@stage
def up_to(value: int) -> list[int]:
    return list(range(value))


@stage(queue="training")
def try_out(value: int, folder: str) -> int:
    """Tell that it was called; 2 fails until that is mended."""
    (Path(folder) / f"tried {value} {uuid4().hex}").touch()
    if value == 2 and not (Path(folder) / "mended").exists():
        raise RuntimeError("not mended yet")
    return value


@pipeline
def search(value: int, folder: str) -> int:
    """A map whose length is known late, one that follows it, and what takes all of it."""
    tried = try_out.partial(folder=folder).map(value=up_to(value))
    return total(sum_of.partial(right=1).map(left=tried))


@pipeline
def searches(folder: str, count: int = 4) -> None:
    collect(search.partial(folder=folder).map(value=count_to(count)), folder)


@pipeline
def region(value: int, folder: str) -> int:
    return total(search.partial(folder=folder).map(value=up_to(value)))


@pipeline
def regions(folder: str) -> None:
    collect(region.partial(folder=folder).map(value=count_to(4)), folder)


@pipeline
def grid(value: int, side: int) -> int:
    first = same.map(value=count_to(side))
    return total(sum_of.partial(right=value).map(left=first))


@pipeline
def grids(side: int) -> None:
    total(grid.partial(side=side).map(value=count_to(side)))
