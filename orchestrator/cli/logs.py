"""`logs` prints what the stages of a run printed and logged, also while they run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli.messages import print_note
from orchestrator.cli.options import AsJson, RunName
from orchestrator.client.consoles import output
from orchestrator.client.formatting import as_line, first_line, without_runtime
from orchestrator.client.log_lines import LogLine, kept_lines, live_lines
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.runs.record import stamp

NodeName = Annotated[
    str | None, typer.Argument(metavar="NODE", help="One node, one item `fit[3]`, or all items of `fit`.")
]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run is over.")]


def logs(run: RunName, node: NodeName = None, *, follow: Follow = False, as_json: AsJson = False) -> None:
    """Print what a run's stages printed and logged."""
    records = Records.open()
    known = records.get(records.resolve(run))
    known.nodes(node)  # raises UnknownNode
    going_on = known.live and not known.record.state.over
    if follow and going_on:
        printed = (JsonLines() if as_json else Stream(known)).print_all(live_lines(records, known, node))
    else:
        if follow and known.unfinished:
            print_note(
                "this run is not on a Redis that can be followed from here; this is what was kept of it"
            )
        printed = (JsonLines() if as_json else Paragraphs(known)).print_all(kept_lines(records, known, node))
    if not printed:
        whose = f"'{node}'" if node else "its stages"
        print_note(f"{known.record.id}: nothing was printed or logged by {whose}")


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
