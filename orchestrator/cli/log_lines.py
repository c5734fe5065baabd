"""The log lines of a run: gathered from the store and from Redis, and printed one way or another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from orchestrator.archive.logs import Line, logged_attempts, read_log
from orchestrator.cli.consoles import output
from orchestrator.cli.formatting import as_line, first_line
from orchestrator.cli.groups import group_of
from orchestrator.cli.run_lookup import KnownRun, Records
from orchestrator.cli.tracebacks import without_runtime
from orchestrator.runs.record import NodeRecord, stamp
from orchestrator.runs.states import NodeState

#: Seconds between two looks at a run that is followed.
PACE = 0.3


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
            for place, text in reader.log(known.record.id, each.name, places.get(each.name, "0")):
                places[each.name] = place
                number, _, line = text.partition(" ")
                found.append(LogLine(each.name, int(number), Line.from_text(line)))
        yield from sorted(fresh(found), key=lambda each: each.line.time)
        time.sleep(PACE)
    yield from sorted(
        fresh(kept_lines(records, records.get(known.record.id), node)), key=lambda each: each.line.time
    )


def _has(known: KnownRun, node: str | None) -> bool:
    """Whether the node has records by now: a map's items come into being during the run."""
    return node is None or any(node in (each.name, group_of(each.name)) for each in known.record.nodes)


def _in_redis(known: KnownRun, node: NodeRecord) -> dict[int, list[Line]]:
    if known.reader is None or not node.attempts or node.state is NodeState.WAITING:
        return {}
    found: dict[int, list[Line]] = {}
    for _, text in known.reader.log(known.record.id, node.name):
        number, _, line = text.partition(" ")
        found.setdefault(int(number), []).append(Line.from_text(line))
    return found


class JsonLines:
    """Each line as a JSON object."""

    def print_all(self, lines: Iterable[LogLine]) -> int:
        """Print the lines and say how many there were."""
        count = 0
        for each in lines:
            count += 1
            line = each.line
            plain = {"time": stamp(line.time), "node": each.node, "attempt": each.attempt}
            print(as_line({**plain, "source": line.source, "text": line.text}), flush=True)
        return count


class Paragraphs:
    """A heading for each attempt, its lines below."""

    def __init__(self, known: KnownRun) -> None:
        self._nodes = {node.name: node for node in known.record.nodes}
        self._owner: tuple[str, int] | None = None

    def print_all(self, lines: Iterable[LogLine]) -> int:
        """Print the lines and say how many there were."""
        count = 0
        for each in lines:
            count += 1
            owner = (each.node, each.attempt)
            if owner != self._owner:
                if self._owner is not None:
                    output().print()
                self._owner = owner
                output().print(self._heading(each), soft_wrap=True)
            _print(each, "")
        return count

    def _heading(self, each: LogLine) -> Text:
        node = self._nodes.get(each.node)
        attempts = [attempt for attempt in node.attempts if attempt.number == each.attempt] if node else []
        number = f" attempt {each.attempt}" if node and len(node.attempts) > 1 else ""
        worker = f"  {attempts[0].worker}" if attempts else ""
        error = first_line(attempts[0].error) if attempts else ""
        return Text.assemble(
            (f"{each.node}{number}", "bold"), (worker, "bright_black"), (f"  {error}" if error else "", "red")
        )


class Stream:
    """Each line with its node before it, as they come."""

    def __init__(self, known: KnownRun) -> None:
        self._width = min(32, max(len(node.name) + 4 * node.mapped for node in known.graph))

    def print_all(self, lines: Iterable[LogLine]) -> int:
        """Print the lines and say how many there were."""
        count = 0
        for each in lines:
            count += 1
            name = each.node if each.attempt == 1 else f"{each.node} #{each.attempt}"
            _print(each, f"{name:<{self._width}}  ")
        return count


def _print(each: LogLine, name: str) -> None:
    line = each.line
    moment = line.time.astimezone()
    text = without_runtime(line.text) if line.source == "error" else line.text
    source = "" if line.source == "stdout" else f"{line.source}: "
    style = "red" if line.source == "error" or line.source.startswith(("error ", "critical ")) else ""
    first, *rest = text.split("\n")
    output().print(
        Text.assemble(
            (f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}  ", "bright_black"),
            name,
            (source, "cyan"),
            (first, style),
        ),
        soft_wrap=True,
    )
    for more in rest:
        output().print(Text(" " * 14 + more, style), soft_wrap=True)
