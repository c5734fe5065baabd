"""`runs` lists the latest runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orchestrator.cli.messages import print_note
from orchestrator.cli.options import AsJson
from orchestrator.client.consoles import output
from orchestrator.client.formatting import ICONS, STYLES, as_line, date_and_time, elapsed, state_label
from orchestrator.client.pipeline_lookup import first_command
from orchestrator.client.program import with_program_name
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.runs.states import NodeState
from orchestrator.settings import settings

Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="How many runs to list.")]

_GREY = "bright_black"


def runs(*, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the latest runs, newest first."""
    records = Records.open()
    known = list(records.latest(limit))
    if aside := records.set_aside():
        print_note(f"{len(aside)} messages of no known run were set aside, the last one since {aside[0].why}")
    if as_json:
        print(as_line([dict(each.record.to_json()) for each in known]))
        return
    if known:
        output().print(runs_table(known))
    else:
        output().print(
            f"no runs yet in {settings().home.absolute()}; try: {with_program_name(first_command())}"
        )


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
            Text(f"{ICONS[run.state]} {state_label(run.state)}", STYLES[run.state]),
            date_and_time(record.started or record.submitted),
            elapsed(record.started, record.ended),
            f"{done}/{len(record.nodes)}",
        )
    return table
