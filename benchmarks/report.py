"""Writes the rows as a table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks.row import Row

RESULTS = Path(__file__).with_name("RESULTS.md")

_HEAD = """# Numbers

Taken by `make bench` on {day}. Ours and the baseline run in turn on the same Redis, after a warm-up, each in
a worker of its own with the same settings (pool, slots, prefetch, late acknowledgement, serializer, events).
That of raw Celery has nothing of ours. Times are medians, and only the ratios mean anything on another
machine. What is measured, and how, is in the module of each row's name.
"""


def write(rows: Sequence[Row], machine: Mapping[str, str], day: date, path: Path = RESULTS) -> None:
    """Write the table over the one that was there."""
    path.write_text(f"{_HEAD.format(day=day)}\n{_machine(machine)}\n{table(rows)}\n{_details(rows)}")


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| row | what | ours | baseline | ratio | target | verdict |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row.name, row.what, row.ours, row.baseline, row.ratio, row.target, row.verdict]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _machine(machine: Mapping[str, str]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in machine.items())


def _details(rows: Sequence[Row]) -> str:
    return "".join(f"- {row.name}: {row.detail}\n" for row in rows if row.detail)
