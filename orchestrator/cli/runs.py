"""`runs` lists the latest runs."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson

Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="How many runs to list.")]


def runs(*, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the latest runs, newest first."""
    from orchestrator.cli.formatting import as_line
    from orchestrator.cli.messages import note
    from orchestrator.cli.run_lookup import Records
    from orchestrator.settings import settings

    records = Records.open()
    known = list(records.latest(limit))
    if aside := records.set_aside():
        note(f"{len(aside)} messages of no known run were set aside, the last one since {aside[0].why}")
    if as_json:
        print(as_line([dict(each.record.to_json()) for each in known]))
        return
    from orchestrator.cli.calling import as_called, first_command
    from orchestrator.cli.consoles import output
    from orchestrator.cli.tables import runs_table

    if known:
        output().print(runs_table(known))
    else:
        output().print(f"no runs yet in {settings().home.absolute()}; try: {as_called(first_command())}")
