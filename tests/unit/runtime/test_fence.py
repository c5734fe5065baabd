"""When an attempt asks whether its node is still its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as Unreachable

from orchestrator import context
from orchestrator.archive.effects import Effects
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from orchestrator.runs.errors import LeaseLost
from workers.runtime.fence import Fence

LEASE = 10.0


@dataclass
class World:
    """A clock, and what the run store says."""

    now: float = 100.0
    answers: list[bool | Exception] = field(default_factory=list)
    asked: int = 0

    def holds(self) -> bool:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fence(self) -> Fence:
        return Fence("fit", self.holds, LEASE, clock=lambda: self.now)


def test_a_worker_that_was_heard_of_lately_need_not_ask() -> None:
    world = World()
    fence = world.fence()
    world.now += LEASE / 2 - 0.1
    fence.glance()
    assert world.asked == 0


def test_after_half_a_lease_of_silence_it_asks_once() -> None:
    world = World(answers=[True])
    fence = world.fence()
    world.now += LEASE / 2
    fence.glance()
    fence.glance()
    assert world.asked == 1


def test_an_attempt_that_was_taken_over_is_stopped() -> None:
    world = World(answers=[False, False])
    fence = world.fence()
    world.now += LEASE
    with pytest.raises(LeaseLost, match="fit was taken over by another worker"):
        fence.glance()
    with pytest.raises(LeaseLost):
        fence.check()


def test_what_is_only_logged_goes_on_while_nobody_can_tell() -> None:
    world = World(answers=[Unreachable("gone"), Unreachable("gone")])
    fence = world.fence()
    fence.glance(at_once=True)
    with pytest.raises(Unreachable):
        fence.check()


def effects(tmp_path: Path, run: str = "run-1", check=lambda: None) -> Effects:
    return Effects(ArtifactStore(str(tmp_path)), RunId(run), "announce", check)


def test_what_was_done_under_a_key_is_found_and_not_done_again(tmp_path: Path) -> None:
    assert effects(tmp_path).once("a ticket / for us", lambda: "ticket-1") == "ticket-1"
    assert effects(tmp_path).once("a ticket / for us", lambda: "ticket-2") == "ticket-1"
    assert effects(tmp_path).once("another", lambda: "ticket-3") == "ticket-3"
    assert effects(tmp_path, "run-2").once("a ticket / for us", lambda: "ticket-4") == "ticket-4"


def test_of_two_that_did_it_at_once_the_first_counts(tmp_path: Path) -> None:
    def act() -> str:
        effects(tmp_path).once("ticket", lambda: "faster")
        return "slower"

    assert effects(tmp_path).once("ticket", act) == "faster"


def test_an_attempt_that_was_taken_over_does_nothing_more(tmp_path: Path) -> None:
    world = World(answers=[False])
    with pytest.raises(LeaseLost):
        effects(tmp_path, check=world.fence().check).once("ticket", lambda: pytest.fail("it was done"))


def test_outside_a_worker_it_is_simply_done() -> None:
    assert context.once("ticket", lambda: "ticket-1") == "ticket-1"
    assert context.once("ticket", lambda: "ticket-2") == "ticket-2"
    assert context.idempotency_key == "local/local"
    context.check()
