"""Repair all runs: requeue the messages of dead workers, and send lost messages again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from orchestrator.alive import touch_alive_file
from orchestrator.archive.run_record import unconcluded_runs
from orchestrator.artifacts import AlteredArtifact, ArtifactStore, StoreError
from orchestrator.authoring.graph import NodeName
from orchestrator.coordinator.backlog import Backlog
from orchestrator.coordinator.contact import Contact
from orchestrator.coordinator.housekeeping import Housekeeping
from orchestrator.lifecycle.ending import LONGEST_WAIT, send_conclusion
from orchestrator.lifecycle.resume import resend_node
from orchestrator.messaging.unacked import Fetched, fetched_messages, requeue, waiting_nodes
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.leadership import leads, step_down
from orchestrator.runs.listing import repair
from orchestrator.runs.presence import present_workers, served_queues
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

#: Seconds between two checks.
PACE = 1.0
#: Seconds between two counts of what waits.
BACKLOG_PACE = 5.0
#: Seconds between two comparisons of the lists over all runs with the runs, which reads every run.
LISTS_PACE = 300.0
#: Seconds between two searches of the store for unconcluded runs, which another stack may have left.
STORE_PACE = 60.0
#: Number of leases for which a run's specification may be unreadable before the run fails.
UNREADABLE_LEASES = 3


@dataclass
class Supervisor:
    """Repairs runs while it leads."""

    runs: RunStore
    reader: RunReader
    store: Callable[[], ArtifactStore]
    queues: tuple[str, ...]
    lease_seconds: float
    name: str = field(default_factory=lambda: token_hex(8))
    contact: Contact = field(init=False)
    _backlog: Backlog = field(init=False)
    clock: Callable[[], float] = time.monotonic
    housekeeping: Housekeeping | None = None  #: None: the store is left as it is
    _store_looked_at: float | None = None  #: time of the last search of the store
    _lists_compared: float | None = None  #: time; None: not since it began to lead, or since a break
    _backlog_shown: float | None = None  #: time
    _fetched: dict[str, float] = field(default_factory=dict)  #: when a message was first seen, by its tag
    _unreadable: dict[RunId, float] = field(default_factory=dict)  #: since when a specification is unreadable
    _told: dict[RunId, str] = field(default_factory=dict)  #: the last error logged for a run

    def __post_init__(self) -> None:
        self.contact = Contact(self.runs.client, self.lease_seconds)
        self._backlog = Backlog(self.runs.client, self.queues)

    def run(self, stop: threading.Event) -> None:
        """Check runs until `stop` is set."""
        while not stop.wait(PACE):
            try:
                self.check_runs()
                touch_alive_file()
            except RedisError as error:
                self.contact.lose()
                log.warning("Redis does not answer: %s", error, extra={"action": "redis_away"})
            except Exception:
                log.exception("a look failed; the next one may not", extra={"action": "look_failed"})
        if self.housekeeping is not None:
            self.housekeeping.stop()
        try:
            step_down(self.runs.client, self.name)
        except RedisError:
            log.info("could not step down; the lead ends by itself")

    def check_runs(self) -> None:
        """Check all runs once, if this supervisor leads and its contact with Redis is steady.

        It may be paused at any point, for longer than its lead lasts, so any of its actions may come late.
        Transitions check whether they still apply, and a message that is sent twice starts nothing.
        """
        self.contact.hear()
        is_leader = leads(self.runs.client, self.name, lifetime=3 * PACE)
        if is_leader:
            self._conclude_left_behind()
            if self.housekeeping is not None:
                self.housekeeping.begin_if_due()
        if not is_leader or not self.contact.is_steady:
            self._lists_compared = None
            return
        self._compare_lists()
        open_runs = self.reader.open_runs()
        self._end_lost_leases(open_runs)
        self._requeue(list(fetched_messages(self.runs.client)))
        self._send_due_again(open_runs)
        self._conclude_ended()
        self._show_backlog()
        self.contact.hear()

    def _compare_lists(self) -> None:
        """Add unfinished runs to the lists again that a killed process, or Redis, has lost from them."""
        if self._lists_compared is None or self.clock() - self._lists_compared > LISTS_PACE:
            for run in repair(self.runs.client):
                extra = {"action": "relisted", "run": run}
                log.warning("run %s was not listed as unfinished; it is now", run, extra=extra)
            self._lists_compared = self.clock()

    def _show_backlog(self) -> None:
        shown = self._backlog_shown
        if shown is None or self.clock() - shown > BACKLOG_PACE:
            self._backlog.show()
            self._backlog_shown = self.clock()

    def _end_lost_leases(self, open_runs: Iterable[RunId]) -> None:
        """End the attempts of deliveries whose leases have expired."""
        for run in open_runs:
            self.contact.hear()
            if not self.contact.is_steady:
                return
            with self._isolated(run):
                until = (self.contact.heard or 0.0) + self.lease_seconds
                for delivery in (*self.reader.expired_leases(run), *self._unleased(run)):
                    ended = self.runs.mark_lost(run, delivery, error="its worker was lost", until=until)
                    if ended:
                        extra = {"action": "lease_lost", "run": run}
                        log.warning("run %s: %s was lost with %d nodes", run, delivery, ended, extra=extra)

    def _unleased(self, run: RunId) -> list[str]:
        """Return the running deliveries of a silent run whose leases Redis has lost."""
        if self.reader.has_leases(run) or self.reader.seconds_silent(run) <= self.lease_seconds:
            return []
        return self.reader.holders(run)

    def _requeue(self, fetched: list[Fetched]) -> None:
        """Requeue fetched messages that no live worker reports as held, after half a lease."""
        now = self.clock()
        self._fetched = {each.tag: self._fetched.get(each.tag, now) for each in fetched}
        old = [each for each in fetched if now - self._fetched[each.tag] > self.lease_seconds / 2]
        if not old:
            return
        held = {id for worker in present_workers(self.runs.client) for id in worker.holds}
        for message in old:
            with self._isolated(message.run):
                leased = message.id in held or self.reader.is_leased(message.run, message.id)
                if not leased and requeue(self.runs.client, message):
                    extra = {"action": "requeued", "run": message.run}
                    told = (message.run, message.id, message.queue)
                    log.warning("run %s: message %s is back in %s", *told, extra=extra)

    def _send_due_again(self, open_runs: Iterable[RunId]) -> None:
        """Send due nodes again that were not claimed for a lease and that no message names."""
        overdue: list[tuple[RunId, NodeName]] = []
        for run in open_runs:
            with self._isolated(run):
                overdue += [(run, node) for node in self.reader.overdue(run, self.lease_seconds)]
        if not overdue:
            return
        named = self._named_by_messages(served_queues(self.runs.client))
        for run, node in overdue:
            if (run, node) not in named:
                with self._isolated(run):
                    self._send_again(run, node)

    def _send_again(self, run: RunId, node: NodeName) -> None:
        store = self.store()
        try:
            sent = resend_node(run, node, store=store, runs=self.runs, due=self.lease_seconds)
        except UnknownRun:
            self._fail_unreadable(run, f"its specification is not in the artifact store {store.url}")
            return
        except AlteredArtifact as error:
            self._fail_unreadable(run, str(error))
            return
        self._unreadable.pop(run, None)
        if sent:
            extra = {"action": "resent", "run": run, "node": node}
            log.warning("run %s: the message of %s was lost; sending it again", run, node, extra=extra)

    def _fail_unreadable(self, run: RunId, why: str) -> None:
        """Fail a run whose specification stays unreadable; not at once: the store may not be mounted yet."""
        since = self._unreadable.setdefault(run, self.clock())
        if self.clock() - since < UNREADABLE_LEASES * self.lease_seconds:
            return
        del self._unreadable[run]
        if self.runs.fail_run(run, error=f"nobody can tell what the run consists of: {why}"):
            log.error(
                "run %s has failed: nobody can read what it consists of: %s",
                run,
                why,
                extra={"action": "run_unreadable", "run": run},
            )
            send_conclusion(run, self.runs.client, self.queues)

    def _conclude_ended(self) -> None:
        """Enqueue the conclusion of finished runs for which no message exists any more."""
        for run in self._stalled(self.reader.unconcluded_runs(), self.lease_seconds):
            extra = {"action": "concluded_again", "run": run}
            log.warning("run %s has ended and was not written down; doing so", run, extra=extra)
            with self._isolated(run):
                send_conclusion(run, self.runs.client, self.queues)

    def _conclude_left_behind(self) -> None:
        """Enqueue the conclusion of finished runs that only the store has as unconcluded."""
        looked = self._store_looked_at
        if looked is not None and self.clock() - looked < STORE_PACE:
            return
        served = served_queues(self.runs.client)
        if not served:
            return  # the workers are still starting
        self._store_looked_at = self.clock()
        try:
            marked = unconcluded_runs(self.store())
        except StoreError as error:
            log.warning("unconcluded runs are looked for later: %s", error, extra={"action": "store_away"})
            return
        left = [run for run in sorted(marked) if not self.reader.knows(run) or self.reader.concluded(run)]
        named = {run for run, _ in self._named_by_messages(served)} if left else set()
        for run in left:
            if run not in named:
                extra = {"action": "concluded_again", "run": run}
                log.info("run %s was left without being written to MLflow; doing so", run, extra=extra)
                send_conclusion(run, self.runs.client, self.queues)

    def _stalled(self, runs: Iterable[RunId], silence: float) -> list[RunId]:
        """Return the runs without messages and without events for `silence` seconds; none without workers."""
        silent = []
        for run in runs:
            with self._isolated(run):
                if self.reader.seconds_silent(run) > silence:
                    silent.append(run)
        if not silent or not (served := served_queues(self.runs.client)):
            return []
        named = {run for run, _ in self._named_by_messages(served)}
        return [run for run in silent if run not in named]

    def _named_by_messages(self, served: frozenset[str]) -> set[tuple[RunId, str]]:
        """Return the runs and nodes named by messages that will be processed.

        A node's message counts even if its queue is not `served` yet. A message about a whole run counts only
        in a served queue, since it can be sent to any queue.
        """
        client = self.runs.client
        waiting = waiting_nodes(client, served.intersection(self.queues))  # before the fetched ones
        unserved = waiting_nodes(client, set(self.queues) - served)
        fetched = (each for each in fetched_messages(client) if not self._is_kept_too_long(each))
        return {
            *waiting,
            *((run, node) for run, node in unserved if node),
            *((each.run, each.node) for each in fetched),
        }

    def _is_kept_too_long(self, message: Fetched) -> bool:
        """Whether a worker delays a message (ETA) for too long, because its clock or the sender's is wrong.

        Retries of nodes may be delayed longer, but those nodes are not due meanwhile.
        """
        now = self.clock()
        kept = now - self._fetched.get(message.tag, now)
        return message.scheduled and kept > LONGEST_WAIT + self.lease_seconds

    @contextmanager
    def _isolated(self, run: RunId) -> Iterator[None]:
        """Confine an error of one run to that run, and log it once."""
        try:
            yield
        except (ConnectionError, TimeoutError):
            raise  # Redis is unavailable: this affects all runs
        except Exception as error:  # noqa: BLE001 - it must not affect other runs
            told = f"{type(error).__name__}: {error}"
            if self._told.get(run) != told:
                self._told[run] = told
                extra = {"action": "run_unfit", "run": run}
                log.error("the coordinator cannot supervise run %s: %s", run, told, extra=extra)  # noqa: TRY400
                with suppress(ResponseError):
                    self.runs.set_conclusion_error(run, f"the coordinator cannot supervise it: {told}")
