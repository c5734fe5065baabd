"""The table of states has no entry that never happens; that nothing else happens is the machine's concern."""

from __future__ import annotations

from collections.abc import Callable

import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import ALLOWED, NodeState

from .play import Hand, Play
from .shapes import CHAIN, CONDITION, WRITTEN_OUT, Shape

Change = tuple[NodeState, NodeState]


class Watched(Play):
    """Notes how the states of nodes change, as they are kept and as they are shown."""

    def __init__(self, client: redis.Redis, shape: Shape) -> None:
        super().__init__(client, shape)
        self.kept: dict[str, NodeState] = {}
        self.shown: dict[str, NodeState] = {}
        self.changes: set[Change] = set()
        self.submit()
        self.check()

    def check(self) -> None:
        reader = RunReader(self.client)
        super().check()
        kept = dict(reader.raw_states(self.run))
        shown = {node.name: node.state for node in reader.read(self.run, self.facts.graph).nodes}
        for before, after in ((self.kept, kept), (self.shown, shown)):
            old = {name: before.get(name, NodeState.WAITING) for name in after}
            self.changes |= {(old[name], state) for name, state in after.items() if old[name] != state}
        self.kept, self.shown = kept, shown

    def get(self, name: str, worker: str = "ann") -> Hand:
        hand = self.claim(NodeName(name), worker)
        assert hand is not None
        self.check()
        return hand


def one_fails_after_many_tries(play: Watched) -> None:
    play.vanish(play.get("a").holder.delivery)
    play.mark_lost(play.get("a", worker="ben").holder.delivery)
    play.changes.add((NodeState.RUNNING, NodeState.RUNNING))  # the second claim was granted
    play.check()
    play.retry(play.get("a"), NodeName("a"))
    play.check()
    play.finish(play.get("a"))
    play.check()
    hand = play.get("b")
    play.fail(hand, hand.task, hand.token)


def one_is_cancelled_before_it_runs(play: Watched) -> None:
    play.cancel()


def one_is_cancelled_while_it_runs(play: Watched) -> None:
    play.get("a")
    play.cancel()


def one_is_cancelled_between_two_tries(play: Watched) -> None:
    play.retry(play.get("a"), NodeName("a"))
    play.check()
    play.cancel()


def a_map_is_skipped(play: Watched) -> None:
    play.finish(play.get("a"))
    play.check()
    play.skip(play.get("b"))


def what_a_map_needs_fails(play: Watched) -> None:
    hand = play.get("a")
    play.fail(hand, hand.task, hand.token)


STORIES: dict[Callable[[Watched], None], Shape] = {
    one_fails_after_many_tries: CHAIN,
    one_is_cancelled_before_it_runs: CHAIN,
    one_is_cancelled_while_it_runs: CHAIN,
    one_is_cancelled_between_two_tries: CHAIN,
    a_map_is_skipped: CONDITION,
    what_a_map_needs_fails: WRITTEN_OUT,
}


def test_every_entry_of_the_table_happens(client: redis.Redis) -> None:
    found: set[Change] = set()
    for story, shape in STORIES.items():
        play = Watched(client, shape)
        story(play)
        play.check()
        play.forget()
        found |= play.changes
    allowed = {(before, after) for before, all_after in ALLOWED.items() for after in all_after}
    assert allowed - found == set()
