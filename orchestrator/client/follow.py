"""Follows a run by its event stream until it is over and written down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Late

from orchestrator.authoring.graph import Graph
from orchestrator.client.program import with_program_name
from orchestrator.client.queue_watch import QueueWatch
from orchestrator.run_id import RunId
from orchestrator.runs.connection import check
from orchestrator.runs.errors import RedisUnreachable
from orchestrator.runs.reader import Event, RunReader
from orchestrator.runs.record import RunRecord

log = logging.getLogger("orchestrator.client")

#: Seconds: the longest wait for an event, and the shortest pause between two reads of the run. A pause
#: lasts at least `READ_SHARE` times as long as the read before it: thousands of items take long to read.
EVENT_WAIT, MIN_PAUSE, READ_SHARE = 0.25, 0.03, 4.0
#: Seconds that Redis may be away, and that the conclusion of an ended run may take, before we stop following.
REDIS_TIMEOUT, CONCLUSION_TIMEOUT = 30.0, 60.0
#: Seconds that the conclusion takes before the view says what we wait for.
QUIET_WAIT = 3.0


def how_to_conclude(run: RunId) -> str:
    """What becomes of an ended run that MLflow does not know of, once its private stack is gone."""
    return with_program_name(
        "the next `orchestrator run` or `orchestrator up` writes it to MLflow, and so does: "
        f"orchestrator resume {run}"
    )


class View(Protocol):
    """Shows a run to somebody while it goes on."""

    def update(self, record: RunRecord, events: Sequence[Event]) -> None:
        """Show the run as it stands, and what has happened since the last time."""

    def say(self, text: str) -> None:
        """Show a line that is not about a node."""


@dataclass
class Follower:
    """Somebody who watches one run."""

    run: RunId
    graph: Graph
    reader: RunReader
    view: View
    watch: QueueWatch
    position: str = "0"  #: in the run's event stream: what is behind it is told
    workers_stay: bool = True  #: whether there are workers when we have left
    check_stack: Callable[[], None] = lambda: None  #: raises if what the run runs on has failed

    def follow(self) -> RunRecord:
        """Watch until the run is over and written down; returns its final record."""
        record = self._read_and_show()
        while not record.state.over:
            self.check_stack()
            try:
                record = self._read_and_show()
                for notice in self.watch.notices(record):
                    self.view.say(notice)
            except Exception as error:
                if not _is_redis_error(error):
                    raise
                self._wait_for_redis(error)
        self._wait_until_concluded()
        record = self.reader.read(self.run, self.graph)
        self.view.update(record, self.reader.events(self.run, self.position))  # what came after the last look
        return record

    def _conclusion_status(self, *, leaving: bool = False) -> str:
        """What is to be told of a run that is over and not written down."""
        state = self.reader.state(self.run).value
        why = self.reader.conclusion_error(self.run)
        told = f"the run has {state}, and that is final; {why or 'no worker has written it to MLflow yet'}: "
        if leaving and not self.workers_stay:
            return f"{told}what was logged is kept; {how_to_conclude(self.run)}"
        if why is None:
            return f"the run has {state}; waiting until a worker has written it to MLflow"
        return f"{told}it is written there as soon as that is possible, and nothing is run again"

    def _read_and_show(self) -> RunRecord:
        events = self.reader.events(self.run, self.position, EVENT_WAIT)
        before = time.monotonic()
        record = self.reader.read(self.run, self.graph)
        if events:
            self.position = events[-1].position
        self.view.update(record, events)
        if not record.state.over:
            time.sleep(max(MIN_PAUSE, READ_SHARE * (time.monotonic() - before)))
        return record

    def _wait_for_redis(self, error: Exception) -> None:
        self.view.say(f"Redis does not answer ({error}); the run may go on without us; trying again")
        deadline = time.monotonic() + REDIS_TIMEOUT
        while True:
            self.check_stack()
            try:
                check(self.reader.client)
            except RedisUnreachable as still:
                if time.monotonic() > deadline:
                    hint = f"the run is not lost by that: `orchestrator show {self.run}` when Redis is back"
                    raise RedisUnreachable(str(still), hint=hint) from still
                time.sleep(0.5)
            else:
                return

    def _wait_until_concluded(self) -> None:
        """A worker writes the run to MLflow and to the store, which takes a moment."""
        start = time.monotonic()
        told = ""
        while not self.reader.concluded(self.run):
            self.check_stack()
            waited = time.monotonic() - start
            if waited > CONCLUSION_TIMEOUT:
                log.warning(
                    "%s", told if told and self.workers_stay else self._conclusion_status(leaving=True)
                )
                return
            if waited > QUIET_WAIT and (outlook := self._conclusion_status()) != told:
                self.view.say(outlook)
                told = outlook
            time.sleep(0.01 if waited < 2.0 else 0.2)


def _is_redis_error(error: Exception) -> bool:
    return isinstance(error, Lost | Late)
