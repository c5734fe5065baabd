"""`logs` prints what the stages of a run printed and logged, also while they run."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, RunName

NodeName = Annotated[
    str | None, typer.Argument(metavar="NODE", help="One node, one item `fit[3]`, or all items of `fit`.")
]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run is over.")]


def logs(run: RunName, node: NodeName = None, *, follow: Follow = False, as_json: AsJson = False) -> None:
    """Print what a run's stages printed and logged."""
    from orchestrator.cli.log_lines import JsonLines, Paragraphs, Stream, kept_lines, live_lines
    from orchestrator.cli.messages import note
    from orchestrator.cli.run_lookup import Records

    records = Records.open()
    known = records.get(records.resolve(run))
    known.nodes(node)  # raises UnknownNode
    going_on = known.live and not known.record.state.over
    if follow and going_on:
        printed = (JsonLines() if as_json else Stream(known)).print_all(live_lines(records, known, node))
    else:
        if follow and known.unfinished:
            note("this run is not on a Redis that can be followed from here; this is what was kept of it")
        printed = (JsonLines() if as_json else Paragraphs(known)).print_all(kept_lines(records, known, node))
    if not printed:
        whose = f"'{node}'" if node else "its stages"
        note(f"{known.record.id}: nothing was printed or logged by {whose}")
