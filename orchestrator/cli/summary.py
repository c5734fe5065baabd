"""What a person reads when a run is over: how it went, what came out, and where to look next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.graph import Graph
from orchestrator.authoring.masking import mask_text
from orchestrator.client.formatting import (
    ICONS,
    STYLES,
    date_and_time,
    duration,
    elapsed,
    plain,
    progress_in_words,
    shortened,
    state_label,
)
from orchestrator.client.groups import Group, grouped
from orchestrator.client.program import with_program_name
from orchestrator.client.progress_tree import ROOMY
from orchestrator.client.results import headline_results, labels_in_words
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState
from orchestrator.settings import Settings
from orchestrator.tracking_address import local_tracking_uri

#: Failed items of one map that are named one by one; characters of an output.
NAMED, SHOWN = 3, 400

_GREY = "bright_black"


def print_summary(console: Console, record: RunRecord, graph: Graph, *, mlflow: Sequence[str] = ()) -> None:
    """Print all of it; `mlflow` says how to open the run there."""
    console.print()
    print_heading(console, record)
    console.print()
    console.print(Padding(nodes_table(record, wide=console.width >= ROOMY), (0, 0, 0, 2), expand=False))
    print_results(console, record, graph)
    console.print()
    _print_rows(
        console, None, [("MLflow", Text("\n".join(mlflow)))] * bool(mlflow) + list(_next_commands(record))
    )


def print_heading(console: Console, record: RunRecord, state: str | None = None) -> None:
    """The pipeline, the run's id, state, times and parameters."""
    state = state or record.state.value
    took = elapsed(record.started, record.ended)
    console.print(
        Text.assemble(
            (f"{ICONS[state]} {record.pipeline} ", "bold"),
            (state_label(state), STYLES[state]),
            f" in {took}" if took else "",
        )
    )
    facts = [("run", Text(record.id))]
    facts += [(title, Text(shortened(told, SHOWN))) for title, told in labels_in_words(record.labels)]
    if when := date_and_time(record.started or record.submitted):
        facts.append(("started", Text(when)))
    if record.parameters:
        given = "  ".join(f"{name}={plain(value)}" for name, value in record.parameters.items())
        facts.append(("parameters", Text(shortened(given, SHOWN))))
    _print_rows(console, None, facts)


def print_results(console: Console, record: RunRecord, graph: Graph) -> None:
    """What came out, and what went wrong."""
    results = [(name, Text(text)) for name, text in headline_results(record, graph)]
    for title, rows in (("Results", results), ("Failures", list(_failures(record)))):
        if rows:
            console.print()
            _print_rows(console, title, rows)


def nodes_table(record: RunRecord, *, wide: bool, folded: bool = True) -> Table:
    """A line for each node; `folded` gives a map one line, `wide` adds the workers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_GREY)
    table.add_column("node", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("time", overflow="fold")
    table.add_column("queue", no_wrap=True, style=_GREY)
    if wide:
        table.add_column("worker", no_wrap=True, overflow="ellipsis", style=_GREY)
    for group in grouped(record.nodes).values():
        each = [group] if folded else [Group(node.name, (node,)) for node in group.records]
        for row in each:
            table.add_row(*_cells(row, wide=wide))
    return table


def _cells(group: Group, *, wide: bool) -> list[Text]:
    state = group.state.value
    name = Text.assemble((f"{ICONS[state]} ", STYLES[state]), group.name)
    told = state_label(state)
    if group.mapped:
        name.append(f" ×{len(group.records)}", _GREY)
        told = told if group.state is NodeState.SUCCEEDED else group.progress
    elif group.records[0].reused:
        told = "reused"
    elif group.loop is not None:
        told += f" {progress_in_words(group.loop)}"
    cells = [
        name,
        Text(told, STYLES[state]),
        Text.assemble(_time(group), (f"  {group.attempts} tries" if group.attempts > 1 else "", "yellow")),
        Text(group.queue),
    ]
    if wide:
        more = f" +{len(group.workers) - 1}" if len(group.workers) > 1 else ""
        cells.append(Text(f"{group.workers[0]}{more}" if group.workers else ""))
    return cells


def _time(group: Group) -> str:
    durations = group.durations
    total = elapsed(group.started, group.ended)
    if not group.mapped or len(durations) < 2:
        return total
    middle = f"median {duration(median(durations))}"
    return f"{total}  ({duration(durations[0])} – {duration(durations[-1])}, {middle})"


def _failures(record: RunRecord) -> Iterator[tuple[str, Text]]:
    for group in grouped(record.nodes).values():
        failed = [node for node in group.records if node.state is NodeState.FAILED]
        for node in failed[:NAMED]:
            yield node.name, _failure(record, node)
        if len(failed) > NAMED:
            yield group.name, Text(f"and {len(failed) - NAMED} more of its items", _GREY)
    if record.state is RunState.FAILED and not any(node.state is NodeState.FAILED for node in record.nodes):
        yield record.pipeline, Text(record.error or "it failed", "red")


def _failure(record: RunRecord, node: NodeRecord) -> Text:
    command = f"orchestrator logs {record.id} '{node.name}'" if "[" in node.name else None
    command = command or f"orchestrator logs {record.id} {node.name}"
    error = shortened((node.error or "").strip(), SHOWN)
    return Text.assemble((error, "red"), ("\nsee ", _GREY), with_program_name(command))


def _next_commands(record: RunRecord) -> Iterator[tuple[str, Text]]:
    yield "next", Text(with_program_name(f"orchestrator show {record.id}"))
    failed = next((node.name for node in record.nodes if node.state is NodeState.FAILED), None)
    if failed is None:
        yield "", Text(with_program_name(f"orchestrator logs {record.id}"))


def _print_rows(console: Console, title: str | None, rows: Sequence[tuple[str, Text]]) -> None:
    if title:
        console.print(Text(f"  {title}", _GREY))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="" if title else _GREY)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, text)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def ways_to_open(mlflow_run_id: str | None, settings: Settings, pages: str | None) -> list[str]:
    """Lines that say it; `pages` is the address of an MLflow that is up here, if one is."""
    if not mlflow_run_id:
        return []
    uri = pages or settings.mlflow_ui_url or settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        return [f"{_for_browsers(uri)}/#/runs/{mlflow_run_id}"]
    lines = [f"run {mlflow_run_id}"]
    if uri == local_tracking_uri(settings.home):
        return [*lines, with_program_name("open it with `orchestrator up`")]
    return [*lines, f"open it with `mlflow ui --backend-store-uri {mask_text(uri)}`"]


def _for_browsers(uri: str) -> str:
    """The address without the credentials that workers use: a browser asks for the reader's own."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
