"""Takes the numbers: `python -m benchmarks [ROW...] [--quick]`. All rows, in full, rewrite RESULTS.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from benchmarks import (
    client,
    exactness,
    fairness,
    fan_out,
    following,
    hop,
    idle,
    many,
    message,
    nested,
    report,
    scaling,
    search,
    start,
    table,
    tracked,
)
from benchmarks.machine import describe
from benchmarks.rig import Rig, rig
from benchmarks.row import Row

#: Each row of the table by its name, in the table's order.
ROWS: Mapping[str, Callable[..., Row]] = {
    "hop": hop.measure,
    "fan-out": fan_out.measure,
    "fan-out-training": fan_out.measure_training,
    "tracked": tracked.measure,
    "exactness": exactness.measure,
    "following": following.measure,
    "nested": nested.measure,
    "search": search.measure,
    "scaling": scaling.measure,
    "many": many.measure,
    "fairness": fairness.measure,
    "start": start.measure,
    "client": client.measure,
    "idle": idle.measure,
    "message": message.measure,
    "table": table.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status, which is 0 whatever the verdicts are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and smaller runs, only to see that it works"
    )
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"there is no row '{unknown[0]}'; there are {', '.join(ROWS)}")
    names = given.rows or list(ROWS)
    load = os.getloadavg()[0]
    with rig() as ours:
        rows = [_take(name, ours, quick=given.quick) for name in names]
        machine = describe(ours.redis, load=load)
    print(report.table(rows))
    if not given.quick and set(names) == set(ROWS):
        report.write(rows, machine, datetime.now(UTC).date())
        print(f"written to {report.RESULTS.relative_to(report.RESULTS.parents[1])}")
    return 0


def _take(name: str, ours: Rig, *, quick: bool) -> Row:
    print(f"{name} …", file=sys.stderr, flush=True)
    begun = time.monotonic()
    row = ROWS[name](ours, quick=quick)
    print(
        f"{name}: {row.ours}; {row.baseline}; {row.ratio} ({row.verdict}, target {row.target}; "
        f"{row.detail}; {time.monotonic() - begun:.0f} s)",
        file=sys.stderr,
    )
    return row


if __name__ == "__main__":
    sys.exit(main())
