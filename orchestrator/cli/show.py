"""`show` tells everything about one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from orchestrator.archive.outbox import outboxes
from orchestrator.archive.run_record import unconcluded_runs
from orchestrator.artifacts import ArtifactStore
from orchestrator.cli.options import AsJson, RunName
from orchestrator.cli.summary import nodes_table, print_heading, print_results, ways_to_open
from orchestrator.client.consoles import output
from orchestrator.client.follow import how_to_conclude
from orchestrator.client.formatting import (
    as_line,
    elapsed,
    first_line,
    shortened,
    time_of_day,
    without_runtime,
)
from orchestrator.client.groups import group_name
from orchestrator.client.program import with_program_name
from orchestrator.client.progress_tree import ROOMY
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.messaging.set_aside import SetAside
from orchestrator.runs.record import AttemptRecord, NodeRecord
from orchestrator.runs.states import NodeState
from orchestrator.settings import settings

#: Up to so many nodes and items are listed one by one, and so many tracebacks are printed.
LISTED, TRACEBACKS = 40, 3


def show(run: RunName, *, as_json: AsJson = False) -> None:
    """Show a run's nodes, attempts, errors and tracebacks."""
    records = Records.open()
    known = records.get(records.resolve(run))
    if as_json:
        print(as_line(dict(known.record.to_json())))
        return

    _print(output(), known)
    _print_outboxes(output(), records.store, known)
    _print_set_aside(output(), records.set_aside(known.record.id))


def _print(console: Console, known: KnownRun) -> None:
    record = known.record
    print_heading(console, record, known.state)
    if known.unfinished:
        told = (
            "\n  This run was submitted, but not finished as far as can be seen from here: it runs in"
            "\n  another terminal's private stack or on another Redis, or its stack was stopped. What it"
            "\n  has committed is listed as succeeded."
        )
        console.print(Text(told, "magenta"))
    console.print()
    folded = len(record.nodes) > LISTED
    console.print(
        Padding(nodes_table(record, wide=console.width >= ROOMY, folded=folded), (0, 0, 0, 2), expand=False)
    )
    print_results(console, record, known.graph)
    for line in (*_reuse(known), *_attempts(known)):
        console.print(line)
    for place, (node, attempt, trace) in enumerate(_traces(known)):
        if place == TRACEBACKS:
            console.print(
                Text(with_program_name(f"\n  … and more: orchestrator logs {record.id}"), "bright_black")
            )
            break
        console.print(Text(f"\n  {node.name}, attempt {attempt.number} on {attempt.worker}", "bold"))
        console.print(Padding(Text(trace.rstrip()), (0, 0, 0, 2), expand=False), soft_wrap=True)
    if ways := ways_to_open(record.mlflow_run_id, settings(), None):
        console.print(Text(f"\n  MLflow  {'; '.join(ways)}", "bright_black"), soft_wrap=True)


def _reuse(known: KnownRun) -> Iterator[Text]:
    """Why nodes were taken from earlier, or were not though they might have been; alike items at once."""
    told = Counter((group_name(node.name), node.why) for node in known.record.nodes if node.why)
    if told:
        yield Text("\n  Reuse", "bright_black")
    counted = list(told.items())[:LISTED]
    rows = [(name, f" ×{count}" if count > 1 else "", why) for (name, why), count in counted]
    width = max((len(name + times) for name, times, _ in rows), default=0)
    for name, times, why in rows:
        gap = " " * (width - len(name + times))
        yield Text.assemble(f"  {name}", (times, "bright_black"), f"{gap}  {why}")


def _print_outboxes(console: Console, store: ArtifactStore, known: KnownRun) -> None:
    """What was logged and is not in MLflow: it was away, or refuses it."""
    found = outboxes(store, known.record.id)
    ends = known.record.state.over and known.record.id in unconcluded_runs(store)
    if found or ends:
        console.print(Text("\n  Not in MLflow", "bright_black"))
    if ends:
        told = (
            how_to_conclude(known.record.id) if not known.live else "it is written as soon as MLflow answers"
        )
        console.print(Text.assemble("  how the run ended  ", (told, "yellow")))
    for outbox in found[:LISTED]:
        lead = f"  {outbox.node} #{outbox.attempt}  "
        if outbox.entries:
            waiting = f"{len(outbox.entries)} entries are kept until MLflow has them"
            console.print(Text.assemble(lead, (waiting, "yellow")))
        for refused in outbox.refused:
            console.print(Text.assemble(lead, (f"refused: {shortened(refused, 200)}", "red")))


def _print_set_aside(console: Console, messages: Sequence[SetAside]) -> None:
    """Messages of the run of which nobody could make anything."""
    if messages:
        console.print(Text("\n  Messages set aside", "bright_black"))
    for each in messages[:LISTED]:
        console.print(Text(f"  {shortened(each.why, 200)}", "red"))


def _attempts(known: KnownRun) -> Iterator[Text]:
    """The attempts of nodes that needed more than one."""
    several = [node for node in known.record.nodes if len(node.attempts) > 1]
    if several:
        yield Text("\n  Attempts", "bright_black")
    for node in several[:LISTED]:
        for attempt in node.attempts:
            took = elapsed(attempt.started, attempt.ended)
            outcome = shortened(
                first_line(attempt.error) or ("succeeded" if attempt.ended else "running"), 200
            )
            yield Text.assemble(
                f"  {node.name} #{attempt.number}  ",
                (f"{time_of_day(attempt.started)}  {took}  {attempt.worker}  ", "bright_black"),
                (outcome, "red" if attempt.error else "green"),
            )


def _traces(known: KnownRun) -> Iterator[tuple[NodeRecord, AttemptRecord, str]]:
    """The traceback of each failed node's last attempt."""
    for node in known.record.nodes:
        if node.state is NodeState.FAILED and node.attempts:
            trace = known.tracebacks.get(f"{node.name}#{node.attempts[-1].number}")
            if trace:
                yield node, node.attempts[-1], without_runtime(trace)
