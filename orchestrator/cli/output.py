"""`output` writes what a run, or one of its nodes, has returned: to the terminal or to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.artifacts.export import as_json as to_json
from orchestrator.artifacts.export import as_text, write_output
from orchestrator.cli.options import AsJson, RunName
from orchestrator.client.formatting import as_line
from orchestrator.client.outputs import Outputs
from orchestrator.client.run_lookup import Records
from orchestrator.text import visible

NodeName = Annotated[
    str | None,
    typer.Argument(
        metavar="NODE",
        help="A node, an item `fit[3]`, a map, or a part `split.train`; or what the pipeline returned.",
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where to: a table as .parquet or .csv, a model as a folder or .skops, JSON as .json, text, "
        "a figure as .png, a file or a folder under its own name. `-` is the terminal.",
    ),
]


def output(run: RunName, node: NodeName = None, *, file: File = None, as_json: AsJson = False) -> None:
    """Write what a run, or one of its nodes, has returned."""
    records = Records.open()
    known = records.get(records.resolve(run))
    outputs = Outputs(known, records.store)
    value = outputs.result() if node is None else outputs.output(node)
    whose = known.record.id if node is None else f"'{node}' of {known.record.id}"
    if as_json:
        print(as_line(to_json(value, whose)))
    elif file is None or str(file) == "-":
        text = as_text(value, whose)
        print(visible(text) if sys.stdout.isatty() else text)
    else:
        written = write_output(value, file, whose)
        print(f"{whose} is written to {written}", file=sys.stderr)
