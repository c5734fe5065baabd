"""The tables of `runs` and `pipelines`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from rich.console import Group as Lines
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.graph import JSON
from orchestrator.cli.formatting import ICONS, STYLES, between, day_and_time, shortened, words
from orchestrator.cli.run_lookup import KnownRun
from orchestrator.runs.states import NodeState

_GREY = "bright_black"


def runs_table(runs: Iterable[KnownRun]) -> Table:
    """A line for each run."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_GREY)
    table.add_column("run", no_wrap=True)
    table.add_column("pipeline", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("started", no_wrap=True)
    table.add_column("duration", justify="right", no_wrap=True)
    table.add_column("nodes", justify="right", no_wrap=True)
    for run in runs:
        record = run.record
        done = sum(node.state is NodeState.SUCCEEDED for node in record.nodes)
        table.add_row(
            record.id,
            record.pipeline,
            Text(f"{ICONS[run.state]} {words(run.state)}", STYLES[run.state]),
            day_and_time(record.started or record.submitted),
            between(record.started, record.ended),
            f"{done}/{len(record.nodes)}",
        )
    return table


def pipelines_table(described: Iterable[Mapping[str, JSON]]) -> Lines:
    """A paragraph for each pipeline: its name, what it is for, its parameters."""
    parts: list[Text | Padding] = []
    for pipeline in described:
        if parts:
            parts.append(Text())
        parts.append(
            Text.assemble(
                (str(pipeline["name"]), "bold"),
                f"  {pipeline['summary']}  ",
                (str(pipeline["module"]), _GREY),
            )
        )
        table = Table.grid(padding=(0, 2, 0, 0))
        for parameter in cast("list[Mapping[str, JSON]]", pipeline["parameters"]):
            default = "required" if parameter["required"] else f"= {parameter['default']!r}"
            style = "yellow" if parameter["required"] else ""
            table.add_row(
                f"-p {parameter['name']}",
                Text(str(parameter["type"]), _GREY),
                Text(shortened(default, 60), style),
            )
        if table.row_count:
            parts.append(Padding(table, (0, 0, 0, 4), expand=False))
    return Lines(*parts)
