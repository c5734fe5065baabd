"""The lists over all runs, when who keeps them is killed between two steps, or paused there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from orchestrator.runs import listing, store
from orchestrator.runs.keys import ALL_RUNS, UNFINISHED_RUNS
from orchestrator.runs.listing import repair

from .conftest import Desk

pytestmark = pytest.mark.stack


class Killed(BaseException):
    """The process is gone."""


def dies(*_: object) -> None:
    raise Killed


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Has a process killed when it is about to call one of the functions that keep the lists."""

    def kill(before: str, act: Callable[[], object]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(store, before, dies)
            with pytest.raises(Killed):
                act()

    return kill


def is_listed(desk: Desk) -> bool:
    return bool(desk.client.sismember(UNFINISHED_RUNS, desk.run))


def conclude(desk: Desk) -> None:
    ended = desk.reader.end(desk.run)
    assert ended is not None
    desk.runs.conclude(desk.run, ended, mlflow_run_id=None, retention=60)


def test_a_submission_that_is_killed_leaves_a_run_that_is_found(desk: Desk, killed) -> None:
    killed("add_to_lists", lambda: desk.submit(1))
    assert desk.run not in desk.reader.open_runs()
    assert desk.run in repair(desk.client)
    assert desk.run in desk.reader.open_runs()
    assert desk.run in desk.reader.ids(10_000)


def test_a_resume_that_is_killed_leaves_a_run_that_is_found(desk: Desk, killed) -> None:
    desk.submit(1)
    desk.runs.cancel(desk.run)
    conclude(desk)
    killed("add_to_lists", lambda: desk.reopen(1))
    assert desk.run in repair(desk.client)
    assert desk.run in desk.reader.open_runs()


def test_a_conclusion_that_is_killed_leaves_nothing_for_ever(desk: Desk, killed) -> None:
    desk.submit(1)
    desk.runs.cancel(desk.run)
    killed("remove_from_unfinished", lambda: conclude(desk))
    assert is_listed(desk)
    assert desk.run not in desk.reader.unconcluded_runs(), "it is written down"
    repair(desk.client)
    assert not is_listed(desk)


def test_a_run_that_redis_has_forgotten_leaves_the_lists(desk: Desk) -> None:
    desk.submit(1)
    desk.client.delete(*desk.keys.all())
    assert desk.run not in desk.reader.open_runs()
    repair(desk.client)
    assert not is_listed(desk)
    assert desk.client.zscore(ALL_RUNS, desk.run) is None


def test_a_repair_that_is_paused_forgets_no_run_that_came_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read that a run is gone; before it takes it off the lists, somebody carries the run on."""
    desk.submit(1)
    desk.client.delete(*desk.keys.all())
    remove_from_unfinished = listing.remove_from_unfinished

    def late(client: redis.Redis, run: str) -> None:
        desk.reopen(1)
        remove_from_unfinished(client, desk.run)

    monkeypatch.setattr(listing, "remove_from_unfinished", late)
    repair(desk.client)
    assert desk.run in desk.reader.open_runs()
    assert desk.client.zscore(ALL_RUNS, desk.run) is not None


def test_a_conclusion_that_is_paused_forgets_no_run_that_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.submit(1)
    desk.runs.cancel(desk.run)

    def late(client: redis.Redis, run: str) -> None:
        desk.reopen(1)
        listing.remove_from_unfinished(client, desk.run)

    monkeypatch.setattr(store, "remove_from_unfinished", late)
    conclude(desk)
    assert desk.run in desk.reader.open_runs()


def test_lists_that_redis_has_lost_are_made_again(desk: Desk) -> None:
    desk.submit(1)
    over = Desk(desk.client)
    over.submit(1)
    over.runs.cancel(over.run)
    conclude(over)
    desk.client.delete(ALL_RUNS, UNFINISHED_RUNS)
    repair(desk.client)
    assert {desk.run, over.run} <= set(desk.reader.ids(10_000))
    assert is_listed(desk)
    assert not is_listed(over)
