"""The log lines of a run, gathered from the store and from Redis."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from orchestrator.archive.logs import Line, logged_attempts, read_log
from orchestrator.client.groups import group_name
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.runs.log_stream import read_lines
from orchestrator.runs.record import NodeRecord
from orchestrator.runs.states import NodeState

#: Seconds between two reads of a run that is followed.
POLL_INTERVAL = 0.3


@dataclass(frozen=True)
class LogLine:
    """A line, and whose it is."""

    node: str
    attempt: int
    line: Line


def kept_lines(records: Records, known: KnownRun, node: str | None) -> Iterator[LogLine]:
    """All lines so far: attempt by attempt, in the order of the nodes."""
    stored = logged_attempts(records.store, known.record.id)
    for each in known.nodes(node):
        live = _in_redis(known, each)
        for attempt in sorted({*stored.get(each.name, ()), *live}):
            kept = read_log(records.store, known.record.id, each.name, attempt)
            for line in live.get(attempt, ()) if kept is None else kept:
                yield LogLine(each.name, attempt, line)


def live_lines(records: Records, known: KnownRun, node: str | None) -> Iterator[LogLine]:
    """Lines as they come, until the run is over."""
    reader = known.reader
    assert reader is not None  # noqa: S101 - only a run in Redis is followed
    last: dict[tuple[str, int], datetime] = {}

    def fresh(lines: Iterable[LogLine]) -> Iterator[LogLine]:
        for each in lines:
            owner = (each.node, each.attempt)
            if owner not in last or each.line.time > last[owner]:
                last[owner] = each.line.time
                yield each

    yield from fresh(kept_lines(records, known, node))
    places: dict[str, str] = {}
    resting: set[str] = set()
    while not reader.concluded(known.record.id):
        current = records.get(known.record.id)
        found: list[LogLine] = []
        for each in current.nodes(node) if _has(current, node) else ():
            if each.name in resting or not each.attempts:
                continue
            if each.state.over:
                resting.add(each.name)  # its last lines are sent just after its end: the final pass has them
            for place, text in read_lines(
                reader.client, known.record.id, each.name, places.get(each.name, "0")
            ):
                places[each.name] = place
                number, _, line = text.partition(" ")
                found.append(LogLine(each.name, int(number), Line.from_text(line)))
        yield from sorted(fresh(found), key=lambda each: each.line.time)
        time.sleep(POLL_INTERVAL)
    yield from sorted(
        fresh(kept_lines(records, records.get(known.record.id), node)), key=lambda each: each.line.time
    )


def _has(known: KnownRun, node: str | None) -> bool:
    """Whether the node has records by now: a map's items come into being during the run."""
    return node is None or any(node in (each.name, group_name(each.name)) for each in known.record.nodes)


def _in_redis(known: KnownRun, node: NodeRecord) -> dict[int, list[Line]]:
    if known.reader is None or not node.attempts or node.state is NodeState.WAITING:
        return {}
    found: dict[int, list[Line]] = {}
    for _, text in read_lines(known.reader.client, known.record.id, node.name):
        number, _, line = text.partition(" ")
        found.setdefault(int(number), []).append(Line.from_text(line))
    return found
