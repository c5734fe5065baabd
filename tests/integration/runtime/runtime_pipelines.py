"""Stages and pipelines that the tests of the runtime run on real workers."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel

from orchestrator import Failure, Retry, context, pipeline, stage
from workers.runtime.errors import StageTimeout


@dataclass(frozen=True)
class Score:
    depth: int
    value: float


class Settings(BaseModel):
    depth: int


def once(marker: str) -> bool:
    """Whether this is the first time that anybody asks for this marker."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@stage
def number(value: int = 0) -> int:
    return value


@stage
def numbers(count: int) -> list[int]:
    return list(range(count))


@stage
def add(values: list[int]) -> int:
    return sum(values)


@stage
def above(value: int, limit: int) -> bool:
    return value > limit


@stage
def truth(value: bool) -> bool:
    return value


@stage
def fail(value: int = 0) -> int:
    raise RuntimeError(f"no good: {value}")


@stage
def fail_if(value: int, bad: int) -> int:
    if value == bad:
        raise RuntimeError(f"item {value} is bad")
    return value


@stage(retry=Retry(on=(OSError,), times=3, backoff=0.1))
def flaky(failures: int, kind: str = "OSError") -> int:
    print(f"try {context.attempt}")
    if context.attempt <= failures:
        raise {"OSError": OSError, "ValueError": ValueError}[kind]("not yet")
    return context.attempt


@stage(retry=Retry(times=3, backoff=0.1))
def wrong_settings(text: str) -> int:
    return Settings.model_validate({"depth": text}).depth


@stage
def lies() -> list[Score]:
    return ["no score"]  # type: ignore[list-item]


@stage(time_limit=1)
def slow() -> None:
    time.sleep(60)


@stage(time_limit=1)
def stubborn() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):  # it ignores its soft limit
            time.sleep(60)


@stage
def dies_once(marker: str) -> str:
    if once(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"alive at attempt {context.attempt}"


@stage
def talk() -> None:
    import logging

    print("a printed line")
    logging.getLogger("my.module").info("a logged line")


@stage
def nap(seconds: float, before: list[int]) -> int:
    time.sleep(seconds)
    return len(before)


@stage
def write(path: str, text: str) -> None:
    with Path(path).open("a") as file:
        file.write(text)


@pipeline
def line(length: int = 3) -> None:
    value = number(1)
    for _ in range(length - 1):
        value = number(value)


@pipeline
def diamond() -> None:
    start = number(2)
    add([number(start), number(start), start])


@pipeline
def known_map() -> None:
    add(number.map(value=[1, 2, 3]))


@pipeline
def run_time_map(count: int = 4) -> None:
    number(add(number.map(value=numbers(count))))


@pipeline
def asks_for_items(count: int) -> None:
    add(number.map(value=numbers(count), at_least=2))


@pipeline
def maps_of_maps(count: int = 3) -> None:
    first = number.map(value=numbers(count))
    second = number.map(value=first)
    add([add(second), add(first)])


@pipeline
def last_map(count: int = 3) -> None:
    number.map(value=numbers(count))


@pipeline
def side_by_side() -> None:
    number(1)
    number(2)


@pipeline
def gate(limit: int) -> None:
    value = number(5)
    passed = number(value)
    passed_on = number.only_if(above(value, limit))(passed)
    number(passed_on)
    number(value)


@pipeline
def negated_gate(limit: int) -> None:
    known = above(5, limit)
    number.only_if(~known)(1)
    truth(~known)  # type: ignore[arg-type]


@pipeline
def skipped_map() -> None:
    add(number.only_if(above(1, 2)).map(value=[1, 2, 3]))


@pipeline
def broken() -> None:
    start = number(1)
    bad = fail(start)
    needs_it = add([bad, number(2)])
    number(needs_it)
    number(number(start))


@stage
def tell(failure: Failure) -> list[str]:
    ends = (f"{node.name}: {node.traceback[:9]} … {node.traceback[-200:]}" for node in failure.nodes)
    return [failure.run, failure.error, *ends]  # short enough to be shown as the node's value


@stage(retry=Retry(times=1, backoff=2.0))
def flaky_tell(failure: Failure) -> list[str]:
    """Told only once other handlers have failed."""
    if context.attempt == 1:
        raise OSError("later")
    return tell.function(failure)


@stage
def tell_in_vain(failure: Failure) -> None:
    raise RuntimeError("nobody listens")


@pipeline
def half_failed() -> None:
    add([fail(1)])
    number.after(number(1))(2)


@pipeline
def broken_before_a_map() -> None:
    add(number.after(fail(1)).map(value=[1, 2, 3]))


@pipeline
def broken_map_beside_another_queue() -> None:
    fail_if.partial(bad=2).map(value=[1, 2])
    add(picky.map(value=[0, 1, 2]))
    repeat("x")


@pipeline
def broken_map() -> None:
    add(fail_if.partial(bad=2).map(value=[1, 2, 3, 4]))


@pipeline
def retried(failures: int = 2, kind: str = "OSError") -> None:
    number(flaky(failures, kind))


@pipeline
def bad_input() -> None:
    wrong_settings("deep")


@pipeline
def liar() -> None:
    lies()


@pipeline
def too_slow() -> None:
    slow()


@pipeline
def too_stubborn() -> None:
    number(1)
    stubborn()


@pipeline
def mortal(marker: str) -> None:
    number.after(dies_once(marker))(1)


@pipeline
def talkative() -> None:
    talk()


@pipeline
def random_dag(seed: int, nodes: int = 20, share: float = 0.2) -> None:
    chance = random.Random(seed)
    made: list[int] = []
    for _ in range(nodes):
        before = [each for each in made if chance.random() < share]
        if before and chance.random() < 0.15:
            made.append(add(number.map(value=before)))
        else:
            made.append(nap(chance.random() * 0.02, before))


@stage
def linger(seconds: float, marker: str) -> str:
    """Run until the marker is there, or for so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not Path(marker).exists():
        time.sleep(0.02)
    return context.run


@stage
def fails_until(marker: str) -> int:
    if not Path(marker).exists():
        raise RuntimeError("not mended yet")
    return 7


@stage(retry=Retry(times=9, backoff=0.1))
def kills_workers() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@stage
def note(value: int, path: str) -> int:
    """Leave a line behind, so that it can be told how often it ran."""
    with Path(path).open("a") as file:
        file.write(f"{value}\n")
    return value


@stage
def read(path: str) -> str:
    return Path(path).read_text()


@stage(queue="spare")
def repeat(text: str) -> str:
    return text


@pipeline
def repeated(path: str) -> None:
    repeat(read(path))


@pipeline
def lingering(marker: str, seconds: float = 60.0) -> None:
    number.after(linger(seconds, marker))(3)


@pipeline
def mendable(marker: str, path: str) -> None:
    first = note(1, path)
    items = note.partial(path=path).map(value=numbers(70))
    add([note(first, path), fails_until(marker), add(items)])


@pipeline(on_failure=[tell_in_vain, flaky_tell])
def told_twice() -> None:
    fail(1)


@pipeline(on_failure=[tell, tell_in_vain])
def told(marker: str) -> None:
    number(1)
    add([number(2), fails_until(marker)])


@pipeline(on_failure=tell, fail_fast=True)
def hasty(marker: str) -> None:
    number.after(linger.partial(marker=marker).map(seconds=[60.0, 60.0]))(1)
    add([number.after(fail.after(number(2))(3))(4)])


@stage
def hold_the_interpreter(seconds: int) -> int:
    """Let no other thread of this process run, as a long call into C that keeps the GIL does."""
    ctypes.PyDLL(None).sleep(seconds)
    return context.attempt


@pipeline
def holding(seconds: int) -> None:
    hold_the_interpreter(seconds)


@stage(queue="spare", retry=Retry(times=1, backoff=6.0))
def tries_twice() -> int:
    if context.attempt == 1:
        raise OSError("not now")
    return context.attempt


@pipeline
def spare() -> None:
    tries_twice()


@stage
def tick(value: int, path: str) -> int:
    """Write a line again and again, for a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with Path(path).open("a") as file:
            file.write(f"{value}\n")
        time.sleep(0.02)
    return value


@stage(retry=Retry(times=3, backoff=120))
def tries_later() -> int:
    raise OSError("not now")


@pipeline
def of_all_kinds(path: str, marker: str) -> None:
    """On three slots: one node retries, two lack a need; with the marker, items of a long map run.

    Without it, the items could take all slots before what is needed is there.
    """
    tries_later()
    slow = tick(-1, path)
    quick = number(1)
    add([slow, quick])
    add([slow, quick])
    add(tick.partial(path=path).map(value=numbers.after(linger(60.0, marker))(100)))


@stage
def stops_at(value: int, last: int, marker: str, path: str) -> int:
    if value == last and not Path(marker).exists():
        raise RuntimeError("not mended yet")
    return note(value, path)


@pipeline
def mendable_map(marker: str, path: str) -> None:
    add(stops_at.partial(last=90, marker=marker, path=path).map(value=numbers(100)))


@pipeline
def deadly() -> None:
    kills_workers()


@stage(tolerate=0.5)
def picky(value: int) -> int:
    if value % 3 == 0:
        raise RuntimeError("a multiple of three")
    return value


@pipeline
def tolerant(count: int = 100) -> None:
    add(picky.map(value=numbers(count)))


@pipeline
def tolerant_in_short(values: list[int]) -> None:
    """A map of known length by itself, before another map, and beside another branch of a join."""
    picked = picky.map(value=values)
    add([add(picked), add(number.map(value=picked)), number(1)])


@stage(tolerate=0.5)
def picky_until(value: int, bad: int, marker: str) -> int:
    if value == bad and not Path(marker).exists():
        raise RuntimeError("not mended yet")
    return value


@stage
def note_if(value: int, path: str, unless: int, marker: str) -> int:
    if value == unless and not Path(marker).exists():
        raise RuntimeError("not mended yet")
    return note.function(value, path)


@pipeline
def tolerant_and_mendable(marker: str, path: str) -> None:
    """Item 1 is left out until the marker is there; what follows has then done 0 and 2, and failed at 3."""
    picked = picky_until.partial(bad=1, marker=marker).map(value=numbers(4))
    add(note_if.partial(path=path, unless=3, marker=marker).map(value=picked))


@pipeline
def mendable_behind_maps(marker: str) -> None:
    """Two maps whose lengths turn out as they run, one of them empty, beside what fails until mended."""
    add([add(number.map(value=numbers(4))), add(number.map(value=numbers(0))), mended(marker)])


@stage
def mended(marker: str) -> int:
    if not Path(marker).exists():
        raise RuntimeError("not mended yet")
    return 1


@pipeline
def picked_elsewhere(count: int) -> None:
    add(picky.options(queue="spare").map(value=numbers(count)))


@stage
def await_file(value: int, folder: str) -> int:
    """Go on once there is a file of this number."""
    while not (Path(folder) / str(value)).exists():
        time.sleep(0.01)
    return value


@stage(cache=False)
def double(value: int, folder: str) -> int:
    """Tell that it was called; fail until that is mended where there is a file that says so."""
    (Path(folder) / f"doubled {value} {uuid4().hex}").touch()
    return 2 * value


@stage
def fail_until_mended(value: int, folder: str) -> int:
    if value == 1 and not (Path(folder) / "mended").exists():
        raise RuntimeError("not mended yet")
    return value


@pipeline
def follows(folder: str, count: int = 3) -> None:
    """A map that follows another one item by item, and one that follows both."""
    first = await_file.partial(folder=folder).map(value=list(range(count)))
    second = double.partial(folder=folder).map(value=first)
    add(sum_of.map(left=second, right=first))


@stage
def sum_of(left: int, right: int) -> int:
    return left + right


@pipeline
def follows_failing(folder: str) -> None:
    """A map that follows one of whose items one fails, until that is mended."""
    first = fail_until_mended.partial(folder=folder).map(value=numbers(3))
    add(double.partial(folder=folder).map(value=first))


@pipeline
def unlike(first: int, second: list[int]) -> None:
    add(sum_of.map(left=number.map(value=numbers(first)), right=second))


@pipeline
def tolerates_deaths(values: list[int]) -> None:
    add(dies_if.options(tolerate=0.5).partial(bad=2).map(value=values))


@stage
def dies_if(value: int, bad: int) -> int:
    if value == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


@pipeline
def uneven() -> None:
    add(slow_one.map(value=numbers(200)))


@stage
def slow_one(value: int) -> int:
    time.sleep(2.0 if value == 5 else 0.002)
    return value


@stage(cache=True)
def sized(path: Path) -> int:
    return len(path.read_text())


@stage
def fails_with(path: Path, size: int) -> int:
    if size < 5:
        raise RuntimeError("too small")
    return size


@pipeline
def sizes(path: Path) -> None:
    fails_with(path, sized(path))


@stage(cache=True)
def cached_note(value: int, path: str) -> int:
    with Path(path).open("a") as file:
        file.write(f"{value}\n")
    return value * 2


@pipeline
def cached(path: str, value: int = 1) -> None:
    add([cached_note(value, path), add(cached_note.partial(path=path).map(value=[7, 8]))])


@pipeline
def cached_map(path: str, values: list[int]) -> None:
    add(cached_note.partial(path=path).map(value=values))


@pipeline
def versioned(path: str, version: str, value: int = 1) -> None:
    cached_note.options(version=version)(value, path)


@pipeline
def ladder(rungs: int) -> None:
    value = number(0)
    for _ in range(rungs):
        value = add([number(value), number(value)])


@pipeline
def butterfly(width: int) -> None:
    row = [number(1) for _ in range(width)]
    for level in range(width - 1):
        row = [add([row[at], row[at ^ (1 << level % 5)]]) for at in range(width)]


@pipeline
def long_tail(items: int, tail: int) -> None:
    value = add(number.map(value=list(range(items))))
    for _ in range(tail):
        value = number(value)


@stage(time_limit=30)
def limited(value: int) -> int:
    return value


@pipeline
def limited_map(count: int = 6) -> None:
    add(limited.map(value=numbers(count)))


TIMED_OUT = Retry(on=(StageTimeout,), times=1, backoff=0.1)


@stage(time_limit=1, retry=TIMED_OUT)
def slow_once(marker: str, how: str, value: int = 0) -> int:
    """Take too long the first time: in Python, deaf to everything, with signals blocked, or in C."""
    if not once(f"{marker}-{value}"):
        return value
    deadline = time.monotonic() + 60
    if how == "blocked":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if how == "C":
        hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception) if how == "deaf" else contextlib.nullcontext():
            time.sleep(60)
    return value


@pipeline
def slow_at_first(marker: str, how: str) -> None:
    add([slow_once(marker, how), number(1)])


@pipeline
def slow_items(marker: str, how: str, count: int = 3) -> None:
    number(add(slow_once.partial(marker=marker, how=how).map(value=numbers(count))))


@stage
def hold(megabytes: int, marker: str, seconds: float = 0.0) -> int:
    """Grow, the first time by so much; returns the process that it ran in."""
    if once(marker):
        held = bytearray(megabytes * 1_000_000)
        held[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(held[:: os.sysconf("SC_PAGE_SIZE")])
        time.sleep(seconds)
    return os.getpid()


@pipeline
def hoarding(megabytes: int, marker: str, seconds: float = 0.0) -> None:
    hold.after(hold(megabytes, marker, seconds))(0, marker)


@stage
def devour() -> None:
    held = []
    while True:
        held.append(b"x" * 50_000_000)
        time.sleep(0.01)


@pipeline
def devouring() -> None:
    devour()


@pipeline
def many_deaths(folder: str, count: int) -> None:
    add(dies_as_item.partial(folder=folder).map(value=numbers(count)))


@stage
def dies_as_item(value: int, folder: str) -> int:
    if once(f"{folder}/{value}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return value


@stage
def brief(value: int, path: str) -> int:
    """Half a second's work, which leaves a line when it is done."""
    time.sleep(0.5)
    return note.function(value, path)


@pipeline
def fan_out(path: str, count: int) -> None:
    add([brief(value, path) for value in range(count)])


@stage
def slow_item(value: int, folder: str) -> int:
    time.sleep(0.1)
    Path(f"{folder}/item-{value}").touch()
    return value


@pipeline
def slow_map(folder: str, count: int) -> None:
    number(add(slow_item.partial(folder=folder).map(value=numbers(count))))


@stage(time_limit=0.2, tolerate=0.1)
def stubborn_if(value: int, bad: int) -> int:
    if value == bad:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(60)
    return value


@pipeline
def stubborn_items(count: int, bad: int) -> None:
    add(stubborn_if.partial(bad=bad).map(value=numbers(count)))


@stage(retry=Retry(on=(OSError,), times=1, backoff=6.0))
def flaky_for_long() -> int:
    if context.attempt == 1:
        raise OSError("not yet")
    return context.attempt


@pipeline
def retried_late() -> None:
    flaky_for_long()


@stage
def delegate(marker: str) -> None:
    """Have the work done by a process of its own."""
    with subprocess.Popen(["sleep", "600"]) as process:
        Path(marker).write_text(str(process.pid))


@pipeline
def delegated(marker: str) -> None:
    delegate(marker)


@stage
def talk_of(item: int) -> int:
    print(f"item {item}")
    return item


@pipeline
def talking_map(count: int = 4) -> None:
    """A map of unknown length whose items print."""
    add(talk_of.map(item=numbers(count)))


@stage(retry=Retry(on=(OSError,), times=1, backoff=0.1))
def loop(folder: str, items: int) -> int:
    """Go on after each item when a file is there; raise behind the second one of the first attempt."""
    for item in context.progress(range(items), description="over files"):
        while not (Path(folder) / f"{context.attempt}-{item}").exists():
            time.sleep(0.01)
        if (context.attempt, item) == (1, 1):
            raise OSError("not yet")
    return items


@pipeline
def looping(folder: str, items: int = 4) -> None:
    loop(folder, items)
