"""Workers, supervisor and user in any order.

Workers take messages early, several times and too late; they are paused while others take over, and lost
between any two calls. Time passes as leases that end.
"""

from __future__ import annotations

import sys
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.runs.states import RunState

from .play import Hand, Play
from .shapes import Shape, shapes

T = TypeVar("T")

WORKERS = st.sampled_from(("ann", "ben"))


class RunMachine(RuleBasedStateMachine):
    """One run; Hypothesis chooses what happens."""

    client: redis.Redis
    play: Play

    @initialize(shape=shapes())
    def submit(self, shape: Shape) -> None:
        self.play = Play(self.client, shape)
        self.play.submit()

    @invariant()
    def the_store_is_where_the_model_is(self) -> None:
        self.play.check()

    def teardown(self) -> None:
        """However it stands, a run comes to its end once workers take what there is to take."""
        if not hasattr(self, "play"):
            return
        try:
            if sys.exc_info()[0] is None and self.play.model.is_open:  # else a step has failed already
                self.play.bring_to_an_end()
        finally:
            self.play.forget()

    # Messages come to workers

    @rule(data=st.data(), worker=WORKERS, repeated=st.booleans())
    def deliver(self, data: st.DataObject, worker: str, repeated: bool) -> None:
        """The message of a node or an item, for the first time or once more."""
        messages = list(self.play.messages())
        if messages:
            name = _either(data, self.play.open_messages(), messages)
            self.play.claim(name, worker, repeated=repeated)

    @precondition(lambda self: self.play.open_maps())
    @rule(data=st.data(), worker=WORKERS, wanted=st.integers(1, 3), repeated=st.booleans())
    def take(self, data: st.DataObject, worker: str, wanted: int, repeated: bool) -> None:
        """A message that calls workers to the items of a map."""
        name = data.draw(st.sampled_from(self.play.open_maps()))
        self.play.take(name, worker, wanted, repeated=repeated)

    @precondition(lambda self: self.play.earlier and self.play.calm % 3 == 0)
    @rule(data=st.data(), worker=WORKERS)
    def deliver_late(self, data: st.DataObject, worker: str) -> None:
        """A message of an earlier round was still on its queue."""
        late = data.draw(st.sampled_from(self.play.earlier))
        node = data.draw(st.sampled_from(late.graph.everything))
        if node.mapped and data.draw(st.booleans()):
            self.play.take(node.name, worker, 2, late=late)
        else:
            parts = [node.name, *(late.items(node.name) if node.mapped else ())]
            self.play.claim(data.draw(st.sampled_from(parts)), worker, late=late)

    @precondition(lambda self: self.play.model.is_open)
    @rule(most=st.integers(1, 4), backwards=st.booleans())
    def work(self, most: int, backwards: bool) -> None:
        """Some messages come to a worker that nothing disturbs."""
        self.play.work(most, backwards=backwards)

    @precondition(lambda self: self.play.model.run is not None)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        """A worker is about to send a node without its place in a chord."""
        self.play.detach(data.draw(st.sampled_from(self.play.facts.graph.order)))

    @precondition(lambda self: self.play.model.is_open)
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        """The supervisor misses a message."""
        messages = [*self.play.messages(), *self.play.open_maps()]
        if messages:
            self.play.resend(data.draw(st.sampled_from(messages)))

    # Workers are through with what they hold, or held once

    @precondition(lambda self: self._single())
    @rule(data=st.data(), reused=st.booleans(), continues=st.booleans(), left=st.booleans())
    def commit(self, data: st.DataObject, reused: bool, continues: bool, left: bool) -> None:
        """The delivery may continue with what follows; `left`: it did so before."""
        hand = self._hand(data, self._single())
        self.play.finish(hand, reused=reused, continues=continues, left=left)

    @precondition(lambda self: self._sharing())
    @rule(data=st.data())
    def commit_items(self, data: st.DataObject) -> None:
        hand = self._hand(data, self._sharing())
        self.play.commit_items(hand, _some(data, list(hand.taken or ())))

    @precondition(lambda self: self._sharing())
    @rule(data=st.data())
    def return_items(self, data: st.DataObject) -> None:
        hand = self._hand(data, self._sharing())
        self.play.return_items(hand, _some(data, list(hand.taken or ())))

    @precondition(lambda self: self._hands())
    @rule(data=st.data(), by_parent=st.booleans())
    def fail(self, data: st.DataObject, by_parent: bool) -> None:
        """An attempt failed for good. A worker's parent that killed it knows it by its delivery."""
        hand = self._hand(data, self._hands())
        token = hand.holder.delivery if by_parent else hand.token
        self.play.fail(hand, data.draw(st.sampled_from(hand.tasks)), token)

    @precondition(lambda self: self._hands())
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        hand = self._hand(data, self._hands())
        self.play.retry(hand, data.draw(st.sampled_from(hand.tasks)))

    @precondition(lambda self: self._conditional())
    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        self.play.skip(self._hand(data, self._conditional()))

    @precondition(lambda self: self._repeatable())
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """The first reply was lost with the connection."""
        self.play.repeat(data.draw(st.sampled_from(self._repeatable())))

    @precondition(lambda self: self._single())
    @rule(data=st.data())
    def store(self, data: st.DataObject) -> None:
        """A worker writes a manifest, and does not come to commit it."""
        hand = self._hand(data, self._single())
        self.play.store(hand, hand.tasks)

    # Time passes, workers are lost

    @precondition(lambda self: self._hands())
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        self.play.renew(self._hand(data, self._hands()).holder.delivery)

    @precondition(lambda self: self.play.model.leases)
    @rule(data=st.data())
    def end_a_lease(self, data: st.DataObject) -> None:
        self.play.expire(data.draw(st.sampled_from(sorted(self.play.model.leases))))

    @precondition(lambda self: self.play.model.leases and self.play.calm % 3 == 0)
    @rule(data=st.data())
    def lose_a_lease(self, data: st.DataObject) -> None:
        """Redis comes back without the last it has written."""
        self.play.vanish(data.draw(st.sampled_from(sorted(self.play.model.leases))))

    @precondition(lambda self: self._hands())
    @rule(data=st.data())
    def mark_lost(self, data: st.DataObject) -> None:
        """By the supervisor after the lease has ended, or by the worker's parent before."""
        self.play.mark_lost(self._hand(data, self._hands()).holder.delivery)

    @precondition(lambda self: self._sharing())
    @rule(data=st.data())
    def drop_lease(self, data: st.DataObject) -> None:
        """A worker that has settled all it took ends its turn."""
        delivery = self._hand(data, self._sharing()).holder.delivery
        if not any(self.play.model.held(name, delivery) for name in self.play.model.tasks):
            self.play.drop_lease(delivery)

    @precondition(lambda self: self.play.idle > 3 and self.play.model.run is RunState.SUCCEEDED)
    @rule(shape=shapes())
    def submit_another(self, shape: Shape) -> None:
        self.play.forget()
        self.submit(shape)

    # What befalls the run as a whole; not too often, or it never comes far

    @precondition(lambda self: self.play.model.is_open and self.play.calm > 6)
    @rule()
    def cancel(self) -> None:
        self.play.cancel()

    @precondition(lambda self: self.play.model.run in (None, RunState.FAILED, RunState.CANCELLED))
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        """A run goes on that has ended, or that Redis has forgotten; a stage's code may have changed."""
        self.play.reopen(data.draw(st.sets(st.sampled_from(self.play.facts.graph.order), max_size=1)))

    @precondition(lambda self: self._may_stall() and self.play.calm > 12)
    @rule()
    def send_again(self) -> None:
        """The supervisor takes the run for stalled, rightly or not."""
        self.play.send_again()

    @precondition(lambda self: self.play.model.is_open and self.play.calm > 15)
    @rule()
    def wipe(self) -> None:
        self.play.forget()

    # What there is to choose from

    def _hands(self) -> Sequence[Hand]:
        """All of them, now and then; else, to come on, those that hold what they believe to hold."""
        late = self.play.calm % 4 == 0 and self.play.idle < 5
        return self.play.hands if late else [hand for hand in self.play.hands if self._holds(hand)]

    def _holds(self, hand: Hand) -> bool:
        return any(self.play.model.held(name, hand.token) for name in hand.tasks)

    def _may_stall(self) -> bool:
        """While a failure is handled, the supervisor sends nothing but the messages that do so."""
        return self.play.model.is_open and not self.play.model.handling

    def _repeatable(self) -> list[Hand]:
        """Those that have asked for something and hold nothing more, by token or as a delivery."""
        held = self.play.model.held
        return [
            hand
            for hand in self.play.hands
            if hand.last and not any(held(name, hand.holder.delivery) for name in hand.tasks)
        ]

    def _single(self) -> list[Hand]:
        return [hand for hand in self._hands() if hand.taken is None]

    def _sharing(self) -> list[Hand]:
        return [hand for hand in self._hands() if hand.taken]

    def _conditional(self) -> list[Hand]:
        nodes = (hand for hand in self._single() if not hand.facts.group(hand.task))
        return [hand for hand in nodes if hand.facts.node(hand.task).conditions]

    def _hand(self, data: st.DataObject, hands: Sequence[Hand]) -> Hand:
        """One that holds what it believes to hold, or any other."""
        return _either(data, list(filter(self._holds, hands)), hands)


def _either(data: st.DataObject, likely: Sequence[T], possible: Sequence[T]) -> T:
    if likely and data.draw(st.integers(0, 3)) < 3:
        return data.draw(st.sampled_from(likely))
    return data.draw(st.sampled_from(possible))


def _some(data: st.DataObject, each: Sequence[T]) -> set[T]:
    return data.draw(st.sets(st.sampled_from(each), min_size=1))


def _pop(data: st.DataObject, each: MutableSequence[T]) -> T:
    return each.pop(data.draw(st.integers(0, len(each) - 1)))
