"""Progress as plain lines, one for each transition: for files, pipes and logs of CI."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from orchestrator.authoring.graph import Graph
from orchestrator.authoring.progress import Progress
from orchestrator.client.formatting import elapsed, first_line, progress_in_words, state_label, time_of_day
from orchestrator.client.groups import Group, group_name, grouped
from orchestrator.runs.reader import Event
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.states import NodeState

#: Maps with more items are told of by counts, so many seconds apart.
MANY, COUNTS_EVERY = 20, 2.0
#: Seconds between two lines of how far a node has come.
PROGRESS_EVERY = 10.0


class PlainProgress:
    """Writes `03:15:02  fit[3]       succeeded  1.2 s  training@host`."""

    def __init__(self, console: Console, graph: Graph) -> None:
        self._console = console
        self._width = min(32, max(len(node.name) + 4 * node.mapped for node in graph))
        self._counted: dict[str, tuple[float, str]] = {}
        self._told: dict[str, float] = {}  #: when it was told how far a node has come

    def update(self, record: RunRecord, events: Sequence[Event]) -> None:
        """Write what has happened since the last time."""
        groups = grouped(record.nodes)
        records = {node.name: node for node in record.nodes}
        for event in events:
            name = group_name(event.node)
            group = groups.get(name)
            if group is None:
                continue
            if group.mapped and len(group.records) > MANY and event.state != NodeState.FAILED:
                self._count(group, event)
            elif (detail := _detail(event, records.get(event.node), group)) is not None:
                self._write(_moment(event), event.node, event.state, detail)
        for group in groups.values():
            if group.loop is not None:
                self._tell_progress(group.name, group.loop)

    def say(self, text: str) -> None:
        """Write a line that is not about a node."""
        self._line(f"{time_of_day(datetime.now(UTC))}  {text}")

    def _tell_progress(self, node: str, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told.get(node, -PROGRESS_EVERY) >= PROGRESS_EVERY:
            self._told[node] = now
            self._write(datetime.now(UTC), node, NodeState.RUNNING, progress_in_words(progress))

    def _count(self, group: Group, event: Event) -> None:
        last, told = self._counted.get(group.name, (0.0, ""))
        over = all(record.state.over for record in group.records)
        if group.progress == told or (time.monotonic() - last < COUNTS_EVERY and not over):
            return
        self._counted[group.name] = (time.monotonic(), group.progress)
        self._write(_moment(event), group.name, group.state.value, group.progress)

    def _write(self, moment: datetime, name: str, state: str, detail: str) -> None:
        self._line(
            f"{time_of_day(moment)}  {name:<{self._width}}  {state_label(state):<9}  {detail}".rstrip()
        )

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _detail(event: Event, record: NodeRecord | None, group: Group) -> str | None:
    """What goes with a transition; None if it is not worth a line."""
    if event.state == "expanded":
        return f"into {event.detail} items"
    if record is None:  # of a map as a whole
        took = elapsed(group.started, group.ended)
        return f"{took}  {group.progress}" if event.state == NodeState.SUCCEEDED else None
    attempts = record.attempts
    match event.state:
        case NodeState.RUNNING:
            number = int(event.detail or 1)
            worker = attempts[number - 1].worker if number <= len(attempts) else ""
            return f"{worker}  attempt {number}" if number > 1 else worker
        case NodeState.RETRYING:
            failure = next((each.error for each in reversed(attempts) if each.error), "")
            return f"in {event.detail} after: {first_line(failure)}"
        case NodeState.SUCCEEDED:
            took = elapsed(record.started, record.ended)
            return "reused" if record.reused else f"{took}  {attempts[-1].worker if attempts else ''}"
        case NodeState.FAILED:
            return f"{elapsed(record.started, record.ended)}  {first_line(event.detail)}"
        case NodeState.WAITING:
            return None
    return event.detail


def _moment(event: Event) -> datetime:
    return datetime.fromtimestamp(int(event.position.partition("-")[0]) / 1000, UTC)
