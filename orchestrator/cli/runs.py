"""`runs` lists the latest runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orchestrator.artifacts import AlteredArtifact
from orchestrator.cli.messages import print_note
from orchestrator.cli.options import AsJson
from orchestrator.client.consoles import output
from orchestrator.client.formatting import ICONS, STYLES, as_line, date_and_time, elapsed, state_label
from orchestrator.client.pipeline_lookup import first_command
from orchestrator.client.program import with_program_name
from orchestrator.client.run_filter import STATES, RunFilter, parse_since, parse_tag_filters
from orchestrator.client.run_lookup import ListedRun, Records
from orchestrator.runs.errors import UnknownRun
from orchestrator.settings import settings
from orchestrator.text import visible

log = logging.getLogger("orchestrator.client")

Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="How many runs to list.")]
OfPipeline = Annotated[str | None, typer.Option("--pipeline", metavar="NAME", help="Only of this pipeline.")]
States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help=f"Only in this state ({', '.join(STATES)}); repeatable."),
]
Named = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Only those called so.")]
Tagged = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY[=VALUE]", help="Only those with this tag; repeatable."),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Only those submitted since: 2026-11-01, 90m, 24h, 7d, today, yesterday.",
    ),
]

#: Up to so many runs are listed with styles.
STYLED = 200

_GREY = "bright_black"
_TITLES = ("run", "pipeline", "state", "started", "duration", "nodes", "name", "tags")


def runs(
    *,
    limit: Limit = 20,
    pipeline: OfPipeline = None,
    state: States = None,
    name: Named = None,
    tag: Tagged = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """List the latest runs, newest first."""
    wanted = RunFilter(
        pipeline=pipeline,
        states=frozenset(each.strip() for word in state or () for each in word.split(",")),
        name=name,
        tags=parse_tag_filters(tag or []),
        since=None if since is None else parse_since(since, datetime.now(UTC)),
    )
    records = Records.open()
    if aside := records.set_aside():
        print_note(f"{len(aside)} messages of no known run were set aside, the last one since {aside[0].why}")
    if as_json:
        _print_json(records, wanted, limit)
        return
    found = list(records.listed(wanted, limit=limit))
    if len(found) > STYLED:
        print("\n".join(_plain_lines(found)))
    elif found:
        output().print(runs_table(found))
    elif wanted != RunFilter():
        output().print("no run is like that")
    else:
        output().print(
            f"no runs yet in {settings().home.absolute()}; try: {with_program_name(first_command())}"
        )


def _print_json(records: Records, wanted: RunFilter, limit: int) -> None:
    """An array with the record of each run, printed as they are read; those that cannot be are left out."""
    lead = "["
    for each in records.listed(wanted, limit=limit):
        try:
            known = each.known or records.get(each.summary.id)
        except (AlteredArtifact, UnknownRun) as error:
            log.warning("%s cannot be listed: %s", each.summary.id, error)
            continue
        print(f"{lead}{as_line(dict(known.record.to_json()))}", end="", flush=True)
        lead = ", "
    print("[]" if lead == "[" else "]")


def _plain_lines(runs: Sequence[ListedRun]) -> Iterator[str]:
    """The lines of the table without styles: to lay thousands out by style would take seconds."""
    rows = [_cells(run) for run in runs]
    titles = [title for title, cells in zip(_TITLES, zip(*rows, strict=True), strict=True) if any(cells)]
    kept = [_TITLES.index(title) for title in titles]
    lines = [titles, *([visible(row[column]) for column in kept] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cells(run: ListedRun) -> tuple[str, ...]:
    summary = run.summary
    return (
        summary.id,
        summary.pipeline,
        f"{ICONS[run.state]} {state_label(run.state)}",
        date_and_time(summary.started or summary.submitted),
        elapsed(summary.started, summary.ended),
        f"{summary.done}/{summary.nodes}",
        summary.labels.name,
        "  ".join(f"{key}={value}" for key, value in summary.labels.tags.items()),
    )


def runs_table(runs: Sequence[ListedRun]) -> Table:
    """A line for each run; names and tags have columns where a run has some."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_GREY)
    table.add_column("run", no_wrap=True)
    table.add_column("pipeline", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("started", no_wrap=True)
    table.add_column("duration", justify="right", no_wrap=True)
    table.add_column("nodes", justify="right", no_wrap=True)
    named = any(run.summary.labels.name for run in runs)
    tagged = any(run.summary.labels.tags for run in runs)
    for title in ["name"] * named + ["tags"] * tagged:
        table.add_column(title, overflow="ellipsis")
    for run in runs:
        id, pipeline, state, *others, name, tags = _cells(run)
        labels = [Text(name)] * named + [Text(tags, _GREY)] * tagged
        table.add_row(id, pipeline, Text(state, STYLES[run.state]), *others, *labels)
    return table
