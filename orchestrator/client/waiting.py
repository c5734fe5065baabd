"""Waits for a run, and shows its progress where somebody looks: in a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, cast

from orchestrator.authoring.graph import Graph
from orchestrator.client.connection import join_stack
from orchestrator.client.consoles import errors
from orchestrator.client.errors import StillRunning
from orchestrator.client.follow import Follower, View
from orchestrator.client.page import run_as_html
from orchestrator.client.progress_tree import LiveProgress
from orchestrator.client.queue_watch import QueueWatch, advise_starting_worker, being_replaced
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.run_id import RunId
from orchestrator.runs.connection import redis_time
from orchestrator.runs.reader import Event, RunReader
from orchestrator.runs.record import RunRecord

#: Seconds between two pictures of a run in a notebook.
PICTURE_INTERVAL = 0.5


def wait_for(
    records: Records, run: RunId, *, timeout: float | None = None, progress: bool | None = None
) -> None:
    """Return once the run is over and written down; raises StillRunning after `timeout` seconds.

    Of a run that no Redis has any more there is nothing to wait for.
    """
    known = records.get(run)
    if known.reader is None:
        if known.record.state.over:
            return
        raise StillRunning(
            f"run {run} is not finished, and no Redis that answers has it",
            hint=f"carry it on with: orchestrator resume {run}",
        )
    deadline = None if timeout is None else time.monotonic() + timeout

    def check_time() -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise StillRunning(
                f"run {run} is still going on after {timeout:g} s",
                hint=f"follow it with: orchestrator logs {run} --follow",
            )

    with _view(known, known.reader, progress=progress) as view:
        follower = Follower(run, known.graph, known.reader, view, _queue_watch(known.reader))
        follower.check_stack = check_time
        follower.follow()


def clock_offset(reader: RunReader) -> timedelta:
    """How far Redis's clock is ahead of ours."""
    return timedelta(seconds=redis_time(reader.client) - time.time())


def _queue_watch(reader: RunReader) -> QueueWatch:
    stack = join_stack()
    advice = advise_starting_worker if stack is None else being_replaced(stack.slots)
    return QueueWatch(reader.client, advice=advice)


@contextmanager
def _view(known: KnownRun, reader: RunReader, *, progress: bool | None) -> Iterator[View]:
    if progress is not False and (display := _notebook_display()) is not None:
        yield _Picture(known.graph, display)
    elif progress or (progress is None and sys.stderr.isatty()):
        with LiveProgress(errors(), known.graph, ahead=clock_offset(reader)) as live:
            yield live
    else:
        yield _Nothing()


class _Nothing:
    """Shows nothing."""

    def update(self, record: RunRecord, events: Sequence[Event]) -> None: ...
    def say(self, text: str) -> None: ...


class _Handle(Protocol):
    """What IPython gives to change what it displays."""

    def update(self, shown: object) -> None: ...


class _Picture:
    """The run's page in a notebook's cell, drawn again as the run goes on."""

    def __init__(self, graph: Graph, display: Callable[..., object]) -> None:
        self._graph = graph
        self._display = display
        self._handle: _Handle | None = None
        self._drawn = 0.0
        self._notes: list[str] = []

    def update(self, record: RunRecord, events: Sequence[Event]) -> None:
        """Draw it, unless nothing has happened, or it was drawn a moment ago."""
        now = time.monotonic()
        unchanged = not events or now - self._drawn < PICTURE_INTERVAL
        if self._handle is not None and not record.state.over and unchanged:
            return
        self._drawn = now
        shown = _Html(run_as_html(KnownRun(record=record, graph=self._graph), notes=self._notes))
        if self._handle is None:
            self._handle = cast("_Handle", self._display(shown, display_id=True))
        else:
            self._handle.update(shown)

    def say(self, text: str) -> None:
        """Write a line below the run."""
        self._notes = [*self._notes[-4:], text]


class _Html:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<a run>"

    def _repr_html_(self) -> str:
        return self._text


def _notebook_display() -> Callable[..., object] | None:
    """IPython's `display`, in a notebook; None elsewhere, also in IPython's terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return cast("Callable[..., object]", display)
