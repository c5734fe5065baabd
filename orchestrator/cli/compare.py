"""`compare` says what differs between two runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.graph import JSON
from orchestrator.cli.options import AsJson
from orchestrator.client.comparison import Comparison, compare
from orchestrator.client.consoles import output
from orchestrator.client.formatting import as_line, plain, shortened
from orchestrator.client.run_lookup import Records

Left = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning or name, or `latest`.")]
Right = Annotated[str, typer.Argument(metavar="RUN", help="The other one.")]

#: Differences that are listed of a section, and characters of a value.
LISTED, SHOWN = 40, 60


def compare_runs(left: Left, right: Right, *, as_json: AsJson = False) -> None:
    """Say what differs between two runs: code, parameters, data, outputs."""
    records = Records.open()
    found = compare(records, records.resolve(left), records.resolve(right))
    if as_json:
        print(as_line(found.to_json()))
    else:
        _print(found)


def _print(found: Comparison) -> None:
    output().print(Text.assemble("left   ", (found.left, "bold"), "\nright  ", (found.right, "bold")))
    for section, same in found.same.items():
        differing = [each for each in found.differences if each.section == section]
        if not differing:
            continue
        output().print(Text(f"\n  {section}" + (f"  ({same} the same)" if same else ""), "bright_black"))
        table = Table.grid(padding=(0, 2, 0, 0))
        for each in differing[:LISTED]:
            table.add_row(f"  {each.name}", _shown(each.left), Text("→", "bright_black"), _shown(each.right))
        output().print(table)
        if len(differing) > LISTED:
            output().print(f"  … and {len(differing) - LISTED} more: --json lists all")
    if not found.differences:
        output().print("\n  nothing differs")


def _shown(value: JSON) -> Text:
    return Text("–", "bright_black") if value in (None, "") else Text(shortened(plain(value), SHOWN))
