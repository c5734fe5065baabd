"""`doctor` checks everything that a stack needs, and says what to do."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout

import typer
from rich.text import Text

from orchestrator.authoring.graph import JSON
from orchestrator.cli.checkup import Finding, Level, examine
from orchestrator.cli.options import AsJson
from orchestrator.client.consoles import output
from orchestrator.client.formatting import as_line
from orchestrator.settings import settings

_MARKS = {
    Level.OK: ("✓", "green"),
    Level.WARNING: ("!", "yellow"),
    Level.FAULT: ("✗", "bold red"),
    Level.SKIPPED: ("–", "bright_black"),
}


def doctor(*, as_json: AsJson = False) -> None:
    """Check Redis, clocks, store, disk, MLflow, workers and pipelines; exit status 1 on a fault."""
    found = []
    # What the users' modules print when they are imported is no part of the JSON.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        for finding in examine(settings):
            found.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        plain: list[JSON] = [
            {"check": each.name, "level": each.level.value, "found": each.told, "hint": each.hint}
            for each in found
        ]
        print(as_line(plain))
    if any(each.level is Level.FAULT for each in found):
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.level]
    lead = "not checked: " if finding.level is Level.SKIPPED else ""
    hint = f"; {finding.hint}" if finding.hint else ""
    output().print(
        Text.assemble((f"{mark} ", style), (f"{finding.name}  ", "bold"), f"{lead}{finding.told}{hint}"),
        soft_wrap=True,
    )
