"""Does to a run in Redis and to its model the same things, and fails where they answer differently.

Here a worker is a hand: one message at one worker, with what it believes to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from uuid import uuid4

import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.run_id import RunId
from orchestrator.runs.keys import ALL_RUNS, UNFINISHED_RUNS, RunKeys
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import NodeState
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import ClaimStatus, Continuation, DoneItem, Follows, Holder

from .agreement import Agreement, Kept
from .model import Model
from .resuming import next_round
from .shapes import Facts, Shape

#: Hands that are remembered: most of them have lost what they held.
HANDS = 12


@dataclass(eq=False)
class Hand:
    """One worker with one message, as it sees itself: others may have taken over what it holds."""

    task: NodeName  #: the node or item, or the map that it helps itself to
    holder: Holder
    facts: Facts  #: of its message's round
    taken: dict[int, NodeName] | None = None  #: items of the map that it took
    last: Callable[[], object] | None = None  #: what it asked for last, to ask for it again

    @property
    def token(self) -> str:
        return self.holder.token

    @property
    def tasks(self) -> Sequence[NodeName]:
        return [self.task] if self.taken is None else list(self.taken.values())

    @property
    def expands(self) -> bool:
        """Whether it holds a map that is to become its items."""
        return self.taken is None and self.facts.node(self.task).mapped and not self.facts.group(self.task)


class Play:
    """One run, from its submission on."""

    def __init__(self, client: redis.Redis, shape: Shape) -> None:
        self.client = client
        self.runs = RunStore(client, lease_seconds=3600)
        self.run = RunId(f"some-{uuid4().hex[:8]}")
        self.model = Model(Facts(shape))
        self.agreement = Agreement(client, self.run, self.model)
        self.tokens = map("token-{}".format, count(1))
        self.hands: list[Hand] = []
        self.earlier: list[Facts] = []  #: rounds whose messages may still come
        self.stored: set[NodeName] = set()  #: what has a manifest
        self.calm = 0  #: checks since the run as a whole was disturbed
        self.idle = 0  #: checks since the run was over

    @property
    def facts(self) -> Facts:
        return self.model.facts

    def check(self) -> None:
        """Fail unless Redis is where the model is."""
        self.agreement.check(new_round=self.calm == 0)
        self.calm += 1
        self.idle = 0 if self.model.is_open else self.idle + 1

    def submit(self) -> None:
        for first in (True, False):
            made = self.runs.submit(
                self.run,
                pipeline="some",
                parameters={},
                needs={name: len(needs) for name, needs in self.facts.left.items()},
                maps=self.facts.maps,
                submitted=0.0,
                handlers=self.facts.handlers,
                fail_fast=self.facts.graph.fail_fast,
                item_followers=self.facts.plan.graph.item_followers,
            )
            assert made is first, "an id is given once"
        self.model.submit()

    # Messages

    def messages(self) -> Iterator[NodeName]:
        """The nodes and items whose message may be somewhere, too early in the case of some."""
        tasks, facts = self.model.tasks, self.facts
        for node in reversed(facts.graph.nodes):
            if node.name in facts.maps:
                if self.model.succeeded(node.needs):
                    yield from facts.items(node.name)
                continue
            if not node.needs or any(self.model.succeeded([need]) for need in node.needs):
                yield node.name
            if node.name in tasks and tasks[node.name].items:
                yield from (name for name in facts.items(node.name) if name in tasks and tasks[name].tried)
        # those of an earlier round may come late
        yield from (name for name in facts.handlers if self.model.handling or name in tasks)

    def open_messages(self) -> list[NodeName]:
        """Those of nodes and items that are not over."""
        return [name for name in self.messages() if not self.model.state(name).over]

    def open_maps(self) -> list[NodeName]:
        """The maps to whose items workers are called."""
        tasks, facts = self.model.tasks, self.facts
        expanded = (node.name for node in facts.graph if node.name in tasks and tasks[node.name].items)
        return [name for name in expanded if name not in facts.maps]

    def claim(
        self, name: NodeName, worker: str, *, repeated: bool = False, late: Facts | None = None
    ) -> Hand | None:
        """A message comes to a worker, or `late` one of an earlier round; returns what it holds then."""
        facts = late or self.facts
        holder = self._holder(name, worker, facts)
        claim = self.runs.claim(self.run, name, holder, needed_by=facts.needed_by(name))
        assert claim == self.model.claim(name, holder)
        if claim.status is ClaimStatus.CLAIMED and repeated:
            again = self.runs.claim(self.run, name, holder, needed_by=facts.needed_by(name))
            assert claim == again == self.model.claim(name, holder)
        if claim.status is not ClaimStatus.CLAIMED:
            return None
        assert self.model.has_all(name), f"{name} began before all it needs was done"
        return self._remember(Hand(name, holder, facts))

    def take(
        self,
        name: NodeName,
        worker: str,
        wanted: int,
        *,
        repeated: bool = False,
        late: Facts | None = None,
    ) -> Hand | None:
        """A worker helps itself to items of a map; `late` where its message is an earlier round's."""
        facts, model = late or self.facts, self.model
        holder = self._holder(f"share of {name}", worker, facts)
        outdated = model.is_outdated(facts.number)
        free = model.takeable(name) if model.is_open and model.in_turn(name) and not outdated else []
        lost = [index for index, item in enumerate(facts.items(name)) if model.is_lost(item)]
        taken = self.runs.take(self.run, name, holder, wanted=wanted, behind=facts.needed_by(name))
        assert set(taken.items) <= (set() if outdated else {*free, *lost})
        assert bool(taken.items) >= bool(free), "items are left that nobody will run"
        assert len(taken.items) <= wanted
        names = {index: facts.items(name)[index] for index in taken.items}
        assert taken.items == {index: model.begin(item, holder) for index, item in names.items()}
        if names and repeated:
            again = self.runs.take(self.run, name, holder, wanted=wanted, behind=facts.needed_by(name))
            assert taken == again
        assert taken.ready == (() if outdated else model.behind(name))
        if names:
            self.call(name, holder.token)
        elif not outdated:
            model.found_none(name)
        return self._remember(Hand(name, holder, facts, taken=names)) if names else None

    def call(self, name: NodeName, token: str) -> None:
        """A batch that begins anew asks whether to call another worker; it must, while there are items."""
        number = self.runs.call_batch(self.run, name, 0, token, redelivered=False)
        is_open = self.model.is_open and name in self.open_maps() and not self.model.state(name).over
        assert number or not (is_open and self.model.takeable(name)), "nobody is called to items"
        self.model.called(name, number)

    def detach(self, join: NodeName) -> None:
        self.runs.detach(self.run, join)
        self.model.detach(join)

    def resend(self, name: NodeName) -> None:
        """The supervisor finds no message of a node; one that is due is sent again, and no other."""
        due = self.runs.resend(self.run, name, due=-3600)  # also the one that is tried again later
        assert due == (name in self.model.due()) or name in self.open_maps()

    # What a hand does with what it holds, or held once

    def finish(
        self, hand: Hand, *, reused: bool = False, continues: bool = False, left: bool = False
    ) -> None:
        """Commit what was claimed, and perhaps go on with what follows; or let it become its items."""
        if hand.expands:
            self.expand(hand)
        else:
            then = self._continuation(hand, left=left) if continues or left else None
            self.commit(hand, reused=reused, then=then)

    def expand(self, hand: Hand) -> None:
        hand.last = lambda: self.expand(hand)
        name, items = hand.task, len(hand.facts.items(hand.task))
        settled = self.runs.expand(
            self.run,
            name,
            hand.token,
            items=items,
            join=hand.facts.plan.chord_of(name) if name in hand.facts.plan.places else None,
            follows=Follows(hand.facts.follows(name)),
            needed_by=hand.facts.needed_by(name),
        )
        assert settled == self.model.expand(name, hand.token)

    def _continuation(self, hand: Hand, *, left: bool) -> Continuation:
        name, facts = hand.task, hand.facts
        join = facts.plan.chord_of(name) if facts.node(name).name in facts.plan.places else None
        holder = replace(hand.holder, token=next(self.tokens))
        return Continuation(nodes=facts.needed_by(name), holder=holder, join=join, left=left)

    def commit(self, hand: Hand, *, reused: bool, then: Continuation | None = None) -> None:
        hand.last = lambda: self.commit(hand, reused=reused, then=then)
        name, facts = hand.task, hand.facts
        settled = self.runs.commit(
            self.run,
            name,
            hand.token,
            reused=reused,
            group=facts.group(name),
            needed_by=facts.needed_by(name),
            then=then,
        )
        assert settled == self.model.commit(name, hand.token, reused=reused, then=then)
        self.store(hand, hand.tasks)
        if then is not None and settled.claimed is not None:
            assert self.model.has_all(settled.claimed.node), "it misses something"
            self._remember(Hand(settled.claimed.node, then.holder, facts))

    def commit_items(self, hand: Hand, indexes: Collection[int]) -> None:
        hand.last = lambda: self.commit_items(hand, indexes)
        done = [DoneItem(index=index, began=0.2, ended=0.1) for index in sorted(indexes)]
        needed_by = hand.facts.needed_by(hand.task)
        settled = self.runs.commit_items(self.run, hand.task, hand.token, done, needed_by=needed_by)
        assert settled == self.model.commit_items(hand.task, hand.token, sorted(indexes))
        self.store(hand, [hand.facts.items(hand.task)[index] for index in indexes])

    def return_items(self, hand: Hand, indexes: Collection[int]) -> None:
        call = self.runs.return_items(self.run, hand.task, hand.token, indexes)
        assert call == self.model.return_items(hand.task, hand.token, indexes)

    def fail(self, hand: Hand, name: NodeName, token: str) -> None:
        hand.last = lambda: self.fail(hand, name, token)
        facts = hand.facts
        settled = self.runs.fail(
            self.run,
            name,
            token,
            error="ValueError: no",
            traceback="…",
            group=facts.group(name),
            tolerated=facts.node(name).policy.tolerate,
            needed_by=facts.needed_by(name),
            descendants=facts.descendants(name),
        )
        settled = replace(settled, stopped=tuple(sorted(settled.stopped)))
        assert settled == self.model.fail(name, token, "ValueError: no")

    def retry(self, hand: Hand, name: NodeName) -> None:
        hand.last = lambda: self.retry(hand, name)
        settled = self.runs.retry(self.run, name, hand.token, error="OSError: later", traceback="…", wait=1.0)
        assert settled == self.model.retry(name, hand.token, "OSError: later")

    def skip(self, hand: Hand) -> None:
        hand.last = lambda: self.skip(hand)
        descendants = hand.facts.descendants(hand.task)
        settled = self.runs.skip(self.run, hand.task, hand.token, descendants=descendants)
        assert settled == self.model.skip(hand.task, hand.token)

    def repeat(self, hand: Hand) -> None:
        """A worker that heard nothing asks once more; nothing changes by it, whatever has come in between."""
        assert hand.last is not None
        before = Kept.read(self.client, self.run)
        hand.last()
        assert Kept.read(self.client, self.run) == before

    def store(self, hand: Hand, names: Sequence[NodeName]) -> None:
        """Write manifests; those of an earlier round may lie elsewhere."""
        if hand.facts is self.facts and not hand.expands:
            self.stored.update(name for name in names if name not in self.facts.handlers)

    # Leases

    def renew(self, delivery: str) -> None:
        assert self.runs.renew(self.run, delivery) == self.model.renew(delivery)

    def expire(self, delivery: str) -> None:
        """Time passes, and nobody renews this lease."""
        self.client.zadd(RunKeys(self.run).leases, {delivery: 1}, xx=True)
        self.model.expire(delivery)

    def vanish(self, delivery: str) -> None:
        """Redis loses the last it has written."""
        self.client.zrem(RunKeys(self.run).leases, delivery)
        self.model.vanish(delivery)

    def mark_lost(self, delivery: str) -> None:
        error = "its worker was lost"
        by_supervisor = not self.model.leases.get(delivery)
        until = self.client.time()[0] + 60.0 if by_supervisor else None
        released = self.runs.mark_lost(self.run, delivery, error=error, until=until)
        assert released == self.model.mark_lost(delivery, error, revoked=by_supervisor)

    def drop_lease(self, delivery: str) -> None:
        self.runs.drop_lease(self.run, delivery)
        self.model.drop_lease(delivery)

    # The run as a whole

    def cancel(self) -> None:
        token = next(self.tokens)
        expected = self.model.cancel(token)
        assert expected is not None
        for asks in (token, token, "somebody else"):
            assert sorted(self.runs.cancel(self.run, token=asks) or ()) == sorted(expected)

    def send_again(self) -> None:
        """The supervisor has heard nothing of the run for long."""
        self.reopen(set(), RunReader(self.client).ended_otherwise(self.run))

    def reopen(self, changed: set[NodeName], ended_otherwise: Collection[NodeName] = ()) -> None:
        tasks = self.model.tasks.items()
        maps = [
            NodeName(name)
            for name, task in tasks
            if task.items is not None and task.state is NodeState.SUCCEEDED
        ]
        reopening, facts = next_round(
            self.facts, self.runs.status(self.run), self.stored, changed, ended_otherwise, maps
        )
        ending = self.runs.reopen(self.run, reopening)
        assert self.runs.reopen(self.run, reopening) is None, "a round begins once"
        self.earlier.append(self.facts)
        assert self.model.reopen(reopening, facts) is ending
        self.calm = 0

    def forget(self) -> None:
        """Redis loses all it has of the run."""
        self.client.delete(*RunKeys(self.run).all())
        self.client.srem(UNFINISHED_RUNS, self.run)
        self.client.zrem(ALL_RUNS, self.run)
        self.model.wipe()
        self.agreement.position, self.calm = "0", 0

    def work(self, most: int, *, backwards: bool = False) -> None:
        """Claim and commit what there is to do, undisturbed."""
        for name in self.open_messages()[:: -1 if backwards else 1][:most]:
            hand = self.claim(name, "cat")
            self.check()
            if hand:
                self.finish(hand)
                self.check()

    def bring_to_an_end(self) -> None:
        """All workers are lost, others do what is left; the run has to end by that."""
        for delivery in list(self.model.leases):
            self.expire(delivery)
            self.mark_lost(delivery)
        self.check()
        if self.model.vanished and not self.model.handling:
            self.send_again()
            self.check()
        turns = 0
        while self.model.is_open:
            turns += 1
            assert turns < 50, "the run does not end"
            self.work(most=100)
            for name in self.open_maps():
                while share := self.take(name, "cat", 2):
                    self.check()
                    self.commit_items(share, set(share.taken or ()))
                    self.check()

    def _holder(self, message: str, worker: str, facts: Facts) -> Holder:
        delivery = f"{worker}#{facts.number} {message}"
        return Holder(token=next(self.tokens), delivery=delivery, worker=worker, round=facts.number)

    def _remember(self, hand: Hand) -> Hand:
        self.hands = [*self.hands[-HANDS + 1 :], hand]
        return hand
