"""Run the items of a map in batches: a worker takes as many items as are soon done, until none are left.

Items that take milliseconds are taken, stored and recorded many at a time; longer items one at a time. The
batch size follows from the duration of the previous items.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

from billiard.common import terminate_handler_fired

from orchestrator.archive.manifest import write_items
from orchestrator.artifacts.errors import StoreError
from orchestrator.artifacts.tree import Tree, shown_value
from orchestrator.authoring.graph import NodeName
from orchestrator.run_id import RunId
from orchestrator.runs.errors import LeaseLost
from orchestrator.runs.values import AttemptCounts, DoneItem, DueNode, FencingNumber, RunEnding, Settled
from workers.runtime.cache import find_result, keep_result
from workers.runtime.capture import AttemptLog, captured
from workers.runtime.claimed_node import ClaimedNode, Delivery, is_expensive, may_be_stored
from workers.runtime.code_check import check_code
from workers.runtime.dispatch import conclude_again
from workers.runtime.error_text import traceback_of
from workers.runtime.execute import expand
from workers.runtime.inputs import conditions_hold
from workers.runtime.outcome import Again, BatchOutcome, Failed
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext

#: Seconds of work that a worker takes at once, and after which it records finished items.
STRIDE = 0.2
#: Seconds of work that a worker takes even of the last items of a map, for which others then wait.
LEAST = 0.01
#: Seconds for one message, so that other messages, and a shutdown, wait no longer than this.
BATCH_SECONDS = 0.5
#: Seconds after which a running item is considered to block the items taken after it.
HELD_UP = 0.5
#: Maximum number of items taken at once.
MOST = 500


def work_batch(
    delivery: Delivery,
    number: int,
    resources: WorkerResources,
    call: Callable[[NodeName, int], None],
    retry: Callable[[int, float], None],
) -> BatchOutcome:
    """Run items of a map for a while.

    `call` sends the batch of a number of this map, or of one that follows it item by item, to another worker;
    `retry` sends one item, to be tried again in so many seconds.
    """
    batch = _Batch(delivery, number, resources, resources.context(delivery.run, delivery.round), call, retry)
    batch.work()
    return batch.outcome()


@dataclass(frozen=True)
class _Done:
    """An item's output, before it is recorded."""

    claimed: ClaimedNode
    began: float
    ended: float
    output: Tree
    reused: bool
    why: str


@dataclass
class _Batch:
    delivery: Delivery
    number: int
    resources: WorkerResources
    context: RunContext
    call: Callable[[NodeName, int], None]
    retry: Callable[[int, float], None]
    pending: deque[tuple[int, AttemptCounts]] = field(default_factory=deque)  #: taken and not begun
    done: dict[int, _Done] = field(default_factory=dict)  #: finished and not yet recorded
    ready: list[DueNode] = field(default_factory=list)
    ending: RunEnding = RunEnding.NONE
    stopped: list[str] = field(default_factory=list)
    exhausted: bool = False
    called: bool = False
    pace: float | None = field(init=False)  #: seconds that an item takes, by the last ones of the node
    began: float = 0.0  #: when the running item began
    stored: Mapping[str, Tree] = field(default_factory=dict)  #: by earlier attempts of the items taken last

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.ref = self.context.node_ref(self.delivery.node)
        self.token = uuid4().hex
        self.pace = self.resources.paces.get(self._kind)
        self.seconds = BATCH_SECONDS if self.ref.node.policy.time_limit is None else 0.0

    @property
    def run(self) -> RunId:
        return self.context.run

    @property
    def map(self) -> NodeName:
        return self.ref.name

    @property
    def _kind(self) -> tuple[RunId, NodeName, int]:
        return self.run, self.ref.node.name, self.ref.depth

    def work(self) -> None:
        """Take and run items until the batch has had its time, or none are left."""
        until = monotonic() + self.seconds
        while True:
            self._take()
            self._call_another()
            self._run_taken()
            if self.exhausted or monotonic() > until:
                break
        self.resources.runs.drop_lease(self.run, self.delivery.holder(self.token).delivery)

    def outcome(self) -> BatchOutcome:
        """Return what the caller must send: nodes that became ready, or the end of the run."""
        return BatchOutcome(
            tuple(self.ready),
            self.ending,
            stopped=tuple(self.stopped),
        )

    def _take(self) -> None:
        taken = self.resources.runs.take(
            self.run,
            self.map,
            self.delivery.holder(self.token),
            wanted=self._items_in(STRIDE),
            soon_done=self._items_in(LEAST),
            behind=self._unsent() if self.delivery.redelivered else (),
        )
        self._note_ready(taken.ready)
        self.stored = self._stored(taken.items)
        self.pending.extend(taken.items.items())
        self.exhausted = not taken.items

    def _items_in(self, seconds: float) -> int:
        """How many items are done in so many seconds."""
        return 1 if self.pace is None else max(1, min(MOST, round(seconds / max(self.pace, 1e-6))))

    def _unsent(self) -> tuple[NodeName, ...]:
        """Return what an earlier delivery may have died before it sent: what follows, items that are maps."""
        own = (self.ref.node.name,) if self.ref.item(0).is_map else ()
        return (*own, *self.context.graph.descendants(self.ref.node.name))

    def _call_another(self) -> None:
        """Call the next worker, once, unless nothing is left or another batch has done so."""
        if self.exhausted or self.called:
            return
        self.called = True
        number = self.resources.runs.call_batch(
            self.run, self.map, self.number, self.token, redelivered=self.delivery.redelivered
        )
        if number:
            self.call(self.map, number)

    def _stored(self, items: Mapping[int, AttemptCounts]) -> Mapping[str, Tree]:
        """Return the outputs that earlier attempts of these items stored."""
        redelivered = self.delivery.redelivered
        again = [index for index, each in items.items() if may_be_stored(each, redelivered=redelivered)]
        return self.resources.stored_items(self.context, map(self._item, again))

    def _item(self, index: int) -> NodeRef:
        return self.ref.item(index)

    def _run_taken(self) -> None:
        began, count = monotonic(), len(self.pending)
        if not count:
            return
        over = threading.Event()
        if count > 1:
            threading.Thread(target=self._watch, args=(over,), name="batch-watch", daemon=True).start()
        recorded = began
        while (item := self._next()) is not None:
            self._run_item(*item)
            if monotonic() - recorded > STRIDE:
                self._record()
                recorded = monotonic()
        over.set()
        self._record()
        self.pace = (monotonic() - began) / count
        self.resources.remember_pace(self._kind, self.pace)

    def _next(self) -> tuple[int, AttemptCounts] | None:
        with self.lock:
            self.began = monotonic()
            return self.pending.popleft() if self.pending else None

    def _run_item(self, index: int, counts: AttemptCounts) -> None:
        ref = self._item(index)
        claimed = ClaimedNode(
            self.context, ref, self.token, counts, self.delivery.redelivered, self.resources, self.stored
        )
        log = AttemptLog(self.resources, self.run, ref.name, counts.number)
        began = self.began
        try:
            with captured(log):
                if not conditions_hold(ref, self.context, self.resources, as_of=counts.claimed):
                    with self.lock:
                        self._note(claimed.skip())
                    return
                if ref.is_map:
                    self._expand(claimed)
                    return
                check_code(self.context, ref)
                earlier = find_result(claimed)
                output = earlier.output
                if output is None:
                    output = claimed.output()
                    keep_result(claimed, output, earlier)
            with self.lock:
                self.done[index] = _Done(claimed, began, monotonic(), output, earlier.reused, earlier.why)
        except LeaseLost as error:
            log.add("warning", str(error))  # another worker has claimed the item
            conclude_again(self.run, self.ref.node.policy.queue, self.resources)
        except BaseException as error:  # record any error of the stage; its retry policy decides what follows
            if terminate_handler_fired():
                raise  # not an error of the stage: this process was asked to terminate
            log.add("error", traceback_of(error).rstrip())
            self._settle_failure(index, claimed, error)
        finally:
            log.close()

    def _expand(self, claimed: ClaimedNode) -> None:
        """Make an item its items, as it is a map itself."""
        claimed.check_deaths()
        items, settled = expand(claimed)
        with self.lock:
            self._note(settled)
        if items and settled.accepted:
            self.call(claimed.ref.name, 0)

    def _settle_failure(self, index: int, claimed: ClaimedNode, error: BaseException) -> None:
        match claimed.failed(error):
            case Again(_, wait):
                self.retry(index, wait)  # at once: the next item may take long
            case Failed(_, ready, ending, stopped):
                self.ready.extend(ready)
                self.stopped.extend(stopped)
                self.ending = ending or self.ending

    def _record(self) -> None:
        """Store and record the finished outputs; items that lost their lease are skipped.

        If the outputs cannot be stored, all of these items fail.
        """
        with self.lock:
            done, self.done = self.done, {}
            if not done:
                return
            try:
                self._store(done)
            except StoreError as error:
                for index, item in done.items():
                    self._settle_failure(index, item.claimed, error)
                return
            now = monotonic()
            items = [
                DoneItem(
                    index=index,
                    began=now - item.began,
                    ended=now - item.ended,
                    value=shown_value(item.output),
                    reused=item.reused,
                    why=item.why,
                )
                for index, item in done.items()
            ]
            settled = self.resources.runs.commit_items(
                self.run, self.map, self.token, items, needed_by=self.context.needed_by(self.ref)
            )
            self._note(settled)

    def _store(self, done: Mapping[int, _Done]) -> None:
        """Write outputs, many per file."""
        files: dict[tuple[str, FencingNumber], dict[int, Tree]] = {}
        for index, item in done.items():
            file = (self.context.folder_of(item.claimed.ref), item.claimed.fencing)
            files.setdefault(file, {})[index] = item.output
        flush = is_expensive(sum(item.ended - item.began for item in done.values()))
        if flush:
            self.resources.flush_needs(self.context, self.ref)
        for (folder, number), outputs in files.items():
            write_items(self.resources.store, self.run, folder, number, self.token, outputs, flush=flush)

    def _note(self, settled: Settled) -> None:
        self._note_ready(settled.ready)
        self.ending = settled.ending or self.ending

    def _note_ready(self, ready: Iterable[DueNode]) -> None:
        for each in ready:
            if each.batch is not None:
                self.call(each.node, each.batch)  # at once: the next item may take long
            else:
                self.ready.append(each)

    def _watch(self, over: threading.Event) -> None:
        """While one item takes long: record the finished items, and return those not begun to the map."""
        while not over.wait(HELD_UP / 2):
            with self.lock:
                if not self.pending or monotonic() - self.began < HELD_UP:
                    continue
                left = [index for index, _ in self.pending]
                self.pending.clear()
                self._record()
                number = self.resources.runs.return_items(self.run, self.map, self.token, left)
                if number:
                    self.call(self.map, number)
                return
