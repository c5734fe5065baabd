"""Progress as a tree that is redrawn on the terminal while the run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType

from rich.console import Console
from rich.console import Group as Lines
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.client.formatting import (
    ICONS,
    STYLES,
    elapsed,
    first_line,
    progress_in_words,
    shortened,
    state_label,
)
from orchestrator.client.groups import Group, grouped
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.plan import Plan
from orchestrator.compiler.plan import Sequence as Chain
from orchestrator.runs.reader import Event
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import NodeState

#: Columns from which a worker's name has room.
ROOMY = 100
REFRESH = 10.0

_BUSY = (NodeState.RUNNING, NodeState.RETRYING)
_QUIET = (NodeState.SUCCEEDED, NodeState.WAITING, NodeState.SKIPPED, NodeState.UPSTREAM_FAILED)


class LiveProgress:
    """A tree of the run's nodes: state, progress, duration, attempts, queue, worker. Vanishes at the end."""

    def __init__(self, console: Console, graph: Graph, *, ahead: timedelta = timedelta()) -> None:
        """`ahead` is how far Redis's clock, by which nodes are timed, is ahead of ours."""
        self._console = console
        self._lines = outline(graph)
        self._record: RunRecord | None = None
        self._ahead = ahead
        self._spinner = Spinner("dots", style=STYLES["running"])
        self._live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=REFRESH, transient=True
        )

    def __enter__(self) -> LiveProgress:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def update(self, record: RunRecord, events: Sequence[Event]) -> None:
        """Show the run as it stands; what has failed is told above the tree at once."""
        self._record = record
        for event in events:
            if event.node and event.state == NodeState.FAILED:
                told = f"{ICONS[event.state]} {event.node}: {first_line(event.detail)}"
                self._console.print(Text(told, STYLES[event.state]))

    def say(self, text: str) -> None:
        """Show a line above the tree; it stays."""
        self._console.print(Text(text, style="yellow"))

    def _draw(self) -> Lines:
        record = self._record
        if record is None:
            return Lines(Text("submitting…", style="bright_black"))
        now = datetime.now(UTC) + self._ahead
        groups = grouped(record.nodes)
        lines = _fitting(self._lines, groups, self._console.height - 4)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, style="bright_black", overflow="ellipsis")
        for line in lines:
            if isinstance(line, str):
                table.add_row(Text(line, style="bright_black"))
            else:
                table.add_row(*self._cells(line, groups[line.node], now))
        return Lines(self._heading(record, groups, now), Text(), table)

    def _heading(self, record: RunRecord, groups: dict[str, Group], now: datetime) -> Text:
        done = sum(group.state is NodeState.SUCCEEDED for group in groups.values())
        took = elapsed(record.started, record.ended or now)
        return Text.assemble(
            (record.pipeline, "bold"),
            "  ",
            (state_label(record.state.value), STYLES[record.state.value]),
            f"  {done}/{len(groups)} done  {took}  ",
            (record.id, "bright_black"),
        )

    def _cells(self, line: OutlineLine, group: Group, now: datetime) -> list[Text]:
        state = group.state
        style = STYLES[state.value]
        icon = ICONS[state.value]
        if state is NodeState.RUNNING:
            icon = str(self._spinner.render(self._console.get_time()))
        name = Text.assemble(
            (line.lead, "bright_black"), (icon, style), " ", (group.name, "bold" * (state in _BUSY))
        )
        progress = group.progress if group.mapped else state_label(state.value)
        if group.loop is not None:
            progress = progress_in_words(group.loop)
        if group.attempts > 1 and not group.mapped:
            progress += f", attempt {group.attempts}"
        took = elapsed(group.started, group.ended or now)
        workers = ""
        if self._console.width >= ROOMY:
            workers = ", ".join(group.workers[:2]) + (" …" if len(group.workers) > 2 else "")
        return [
            name,
            Text(progress, style=style),
            Text(took),
            Text(group.queue, "bright_black"),
            Text(shortened(workers, 40)),
        ]


def _fitting(lines: Sequence[OutlineLine], groups: dict[str, Group], height: int) -> list[OutlineLine | str]:
    """The lines, with the quiet ones folded together where there are more than fit on the screen."""
    if len(lines) <= height:
        return list(lines)
    shown: list[OutlineLine | str] = []
    quiet: list[NodeState] = []

    def fold() -> None:
        if quiet:
            told = (f"{quiet.count(state)} {state_label(state.value)}" for state in _QUIET if state in quiet)
            shown.append("  … " + ", ".join(told))
            quiet.clear()

    for line in lines:
        state = groups[line.node].state
        if state in _QUIET:
            quiet.append(state)
        else:
            fold()
            shown.append(line)
    fold()
    if len(shown) > height:
        shown = [*shown[: max(1, height - 1)], f"  … {len(shown) - height + 1} more"]
    return shown


@dataclass(frozen=True)
class OutlineLine:
    """A node, behind the lines of the tree that lead to it."""

    lead: str
    node: NodeName


def outline(graph: Graph) -> tuple[OutlineLine, ...]:
    """The lines in the order in which the nodes run, as far as a list can say so."""
    plan = arrange(graph)
    lines = _side_by_side(plan, plan.roots) if len(plan.roots) > 1 else _chain(plan, plan.roots[0])
    return (*lines, *(OutlineLine("on failure: ", node.name) for node in graph.handlers))


def _chain(plan: Plan, chain: Chain) -> list[OutlineLine]:
    lines: list[OutlineLine] = []
    for link in chain:
        lines += _side_by_side(plan, link.heads)
        lines.append(OutlineLine("", link.node))
        lines += _side_by_side(plan, link.sides)
    return lines


def _side_by_side(plan: Plan, chains: Sequence[Chain]) -> list[OutlineLine]:
    lines: list[OutlineLine] = []
    for chain in chains:
        last = chain is chains[-1]
        for place, line in enumerate(_chain(plan, chain)):
            own = ("└─ " if last else "├─ ") if place == 0 else ("   " if last else "│  ")
            lines.append(OutlineLine(own + line.lead, line.node))
    return lines
