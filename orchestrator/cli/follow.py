"""Follows a run by its event stream until it is over and written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Late

from orchestrator.authoring.graph import Graph
from orchestrator.cli.messages import as_called, note
from orchestrator.cli.queue_watch import QueueWatch
from orchestrator.run_id import RunId
from orchestrator.runs.connection import check
from orchestrator.runs.errors import RedisUnreachable
from orchestrator.runs.reader import Event, RunReader
from orchestrator.runs.record import RunRecord

#: Seconds: the longest wait for an event; the shortest time between two looks, and its share of a look's cost
#: (a run with thousands of items takes long to read).
WAIT, PACE, SHARE = 0.25, 0.03, 4.0
#: Seconds that Redis may be away, and that the writing down of an ended run may take, before we go.
AWAY, WRITING = 30.0, 60.0
#: Seconds of it that need no explanation.
PATIENT = 3.0


def written_later(run: RunId) -> str:
    """What becomes of an ended run that MLflow does not know of, once its private stack is gone."""
    return as_called(
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
        record = self._look()
        while not record.state.over:
            self.check_stack()
            try:
                record = self._look()
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

    def _outlook(self, *, leaving: bool = False) -> str:
        """What is to be told of a run that is over and not written down."""
        state = self.reader.state(self.run).value
        why = self.reader.conclusion_error(self.run)
        told = f"the run has {state}, and that is final; {why or 'no worker has written it to MLflow yet'}: "
        if leaving and not self.workers_stay:
            return f"{told}what was logged is kept; {written_later(self.run)}"
        if why is None:
            return f"the run has {state}; waiting until a worker has written it to MLflow"
        return f"{told}it is written there as soon as that is possible, and nothing is run again"

    def _look(self) -> RunRecord:
        events = self.reader.events(self.run, self.position, WAIT)
        before = time.monotonic()
        record = self.reader.read(self.run, self.graph)
        if events:
            self.position = events[-1].position
        self.view.update(record, events)
        if not record.state.over:
            time.sleep(max(PACE, SHARE * (time.monotonic() - before)))
        return record

    def _wait_for_redis(self, error: Exception) -> None:
        self.view.say(f"Redis does not answer ({error}); the run may go on without us; trying again")
        deadline = time.monotonic() + AWAY
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
            if waited > WRITING:
                note(told if told and self.workers_stay else self._outlook(leaving=True))
                return
            if waited > PATIENT and (outlook := self._outlook()) != told:
                self.view.say(outlook)
                told = outlook
            time.sleep(0.01 if waited < 2.0 else 0.2)


def _is_redis_error(error: Exception) -> bool:
    return isinstance(error, Lost | Late)
