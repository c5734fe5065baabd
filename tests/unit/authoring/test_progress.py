"""Loops of a stage are counted, and the one that began last is told of."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Barrier, Thread

import pytest

from orchestrator import context, pipeline, stage
from orchestrator.authoring import progress
from orchestrator.authoring.masking import keep_secret
from orchestrator.authoring.progress import Loops, Progress


class Clock:
    """Stands still but when it is told to go on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def loops(clock: Clock | None = None) -> Loops:
    return Loops(lambda: None, clock or Clock())


def test_items_that_the_caller_is_done_with_count() -> None:
    told = loops()
    seen = []
    for _ in told.over("abc", None, ""):
        assert told.latest is not None
        seen.append(told.latest.count)
    assert seen == ["0/3", "1/3", "2/3"]
    assert told.latest is None


def test_a_total_is_known_by_itself_or_given_or_unknown() -> None:
    told = loops()
    for items, total, shown in (([7], None, "0/1"), (iter([7]), 9, "0/9"), (iter([7]), None, "0")):
        for _ in told.over(items, total, ""):
            assert told.latest is not None
            assert told.latest.count == shown


class Stream(list[int]):
    """Has a length that it does not know, like a loader of what never ends."""

    def __len__(self) -> int:
        raise TypeError("this dataset has no len()")


def test_a_length_that_is_not_known_is_none() -> None:
    told = loops()
    for _ in told.over(Stream([7]), None, ""):
        assert told.latest is not None
        assert told.latest.count == "0"


def test_the_innermost_loop_is_told_until_it_ends() -> None:
    told = loops()
    seen = []

    def note() -> None:
        assert told.latest is not None
        seen.append(f"{told.latest.description} {told.latest.count}")

    for _ in told.over(range(2), None, "epochs"):
        for _ in told.over(range(2), None, "batches"):
            note()
        note()
    assert seen == ["batches 0/2", "batches 1/2", "epochs 0/2", "batches 0/2", "batches 1/2", "epochs 1/2"]


def test_a_loop_that_is_left_is_not_told_any_more() -> None:
    told = loops()
    for _ in told.over(range(9), None, ""):
        break
    assert told.latest is None
    with pytest.raises(KeyError):
        _fail_in(told)
    assert told.latest is None


def _fail_in(told: Loops) -> None:
    for _ in told.over(range(9), None, ""):
        raise KeyError


def test_loops_of_threads_count_by_themselves() -> None:
    told, both = loops(), Barrier(2)

    def count(description: str) -> None:
        for _ in told.over(range(1000), None, description):
            pass
        both.wait()

    threads = [Thread(target=count, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.latest is None


def test_the_rest_takes_as_long_as_the_items_before() -> None:
    clock = Clock()
    told = loops(clock)
    left = []
    for _ in told.over(range(4), None, ""):
        assert told.latest is not None
        left.append(told.latest.seconds_left)
        clock.now += 2
    assert left == [None, 6.0, 4.0, 2.0]
    assert Progress(done=5, total=4, seconds=1.0).seconds_left is None
    assert Progress(done=5, seconds=1.0).seconds_left is None


def test_a_description_is_one_short_line_without_secrets() -> None:
    keep_secret("correct horse battery")
    told = loops()
    for _ in told.over("a", None, "with\ncorrect horse battery " + "x" * 500):
        assert told.latest is not None
        assert told.latest.description.startswith("with *** xxx")
        assert len(told.latest.description) == 100


def test_what_cannot_be_counted_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="give a number of items, or none"):
        context.progress([], total=-1)
    with pytest.raises(TypeError, match="not iterable"):
        context.progress(5)  # type: ignore[arg-type]


@stage
def count(items: int) -> int:
    return sum(context.progress(range(items), description="counting"))


@pipeline
def counting(items: int) -> None:
    count(items)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "orchestrator.stage"):
        yield caplog


def test_a_local_run_logs_a_line_a_second(told: pytest.LogCaptureFixture) -> None:
    assert counting.run_locally(items=100)["count"] == 4950
    assert told.messages == ["progress counting: 0/100"]
    clock = Clock()
    for _ in progress.logged_loops(clock).over(range(12), None, ""):
        clock.now += 0.25
    assert told.messages[1:] == ["progress 0/12", "progress 4/12", "progress 8/12", "progress 12/12"]
