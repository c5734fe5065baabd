"""Cuts the power of a local stack: `python -m tests.faults.power_cuts --cuts 50 --seed 0`.

A stack is up (`orchestrator up`), runs are submitted, and at a random moment all its processes are gone and
its home is what a disk may have kept (see `disk`). Then it is started again on that, and everything has to
come to its end: each run that a client was told of succeeds, with the right values and what MLflow is to
have; what was committed and had reached the disk is not done again; nobody waits for longer than a minute.
A stack lives through cut after cut, and so do its runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp

from orchestrator.artifacts import StoreError
from orchestrator.authoring.graph import JSON
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.lifecycle.lost_outputs import lost_outputs
from orchestrator.run_id import RunId
from tests.harness.waiting import holds

from .disk import why_not
from .power_cut_pipeline import CALLS
from .power_cut_stack import Powered
from .survived import Before, calls_of, done_twice, left_of, lost_promises, wrong_in_the_end

HERE = Path(__file__).parent
#: Seconds in which a stack is up again, and in which all runs end after that.
STARTED, ENDED = 100.0, 60.0
#: Runs that are sent before each cut, and the seconds in which it comes after the first is written down.
RUNS, SPAN = 2, 6.0
#: How often the power goes while a stack is started for the first time.
AT_FIRST = 0.5
#: How often the power goes a second time, soon after the stack is started again.
AGAIN = 0.2
#: Cuts after which a stack begins with an empty home again.
LIFETIME = 10


@dataclass(frozen=True)
class Outcome:
    """What one power cut did."""

    number: int
    at: float  #: seconds after the first run was sent
    lost: str  #: what the disk had not kept
    runs: int  #: that were under way
    resumed: tuple[RunId, ...]  #: that Redis had forgotten, or that had succeeded and lost outputs
    seconds: float  #: from the start of the next stack until all runs had ended
    breaches: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        told = f"{self.number:4} cut after {self.at:5.2f} s: {self.lost}; {self.runs} runs"
        told += f", {len(self.resumed)} resumed, all at their end after {self.seconds:.1f} s"
        return "\n".join([told, *(f"     BREACH {each}" for each in self.breaches)])


def main() -> int:
    """Cut, print what became of it; 1 if something did not hold."""
    options = _options()
    if reason := why_not():
        print(f"power cuts are skipped: {reason}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started
    logging.getLogger("orchestrator").setLevel(logging.ERROR)  # damaged records are no news here
    began, outcomes = time.monotonic(), []
    for outcome in cuts(options.cuts, options.seed, first=options.first):
        outcomes.append(outcome)
        print(outcome, flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(f"{outcome.to_json()}\n")
    broken = sum(bool(outcome.breaches) for outcome in outcomes)
    runs = sum(outcome.runs for outcome in outcomes)
    resumed = sum(len(outcome.resumed) for outcome in outcomes)
    print(
        f"{len(outcomes)} power cuts, {runs} runs under way, {resumed} resumed by hand, "
        f"{broken} cuts with a breach, in {time.monotonic() - began:.0f} s"
    )
    return int(broken > 0)


def cuts(count: int, seed: int, *, first: int = 0) -> Iterator[Outcome]:
    """One cut after the other; a stack with a breach is kept, and the next cut gets another one."""
    folder = Path(mkdtemp(prefix="orchestrator-power-"))
    stack: Powered | None = None
    broken = False
    expected = _expected(folder)
    try:
        for number in range(first, first + count):
            if stack is not None and (number - first) % LIFETIME == 0:
                stack.kill()
                stack = None
            stack = stack or Powered(folder / f"from-cut-{number}")
            outcome = suffer(stack, number, random.Random(f"{seed}/{number}"), expected)
            yield outcome
            if outcome.breaches:
                broken = True
                print(f"     kept: {stack.folder}")
                stack.kill()
                stack = None
    except BaseException:
        broken = True
        raise
    finally:
        if stack is not None:
            stack.kill()
        if not broken:
            shutil.rmtree(folder)


def suffer(stack: Powered, number: int, chance: random.Random, expected: Mapping[str, JSON]) -> Outcome:
    """Send runs, cut the power, start again, look at what became of all that was ever sent."""
    if not stack.is_up():
        if chance.random() < AT_FIRST:  # while the home is being made
            stack.start()
            time.sleep(chance.uniform(0.5, 3 * SPAN))
            stack.cut(chance)
        if not stack.starts(STARTED):
            raise RuntimeError(f"the stack does not start: see {stack.folder}")
    begun = len(stack.runs_begun())
    began = time.monotonic()
    for client in range(RUNS):
        stack.submit(f"run-{number}-{client}")
    holds(lambda: len(stack.runs_begun()) > begun, 30)
    time.sleep(chance.uniform(0.0, SPAN))
    at, lost = time.monotonic() - began, stack.cut(chance)
    if chance.random() < AGAIN:  # while the stack picks up what it finds
        stack.start()
        time.sleep(chance.uniform(0.5, 3 * SPAN))
        lost = f"{lost}; then {stack.cut(chance)}"
    runs = stack.runs()
    breaches = [f"{name} is lost, though it was told" for name in stack.told - set(runs)]
    before = []
    for run in runs:
        try:
            before.append(left_of(stack.store, run, stack.calls))
        except StoreError as error:
            breaches += [f"{run} is damaged: {error}"] if run in stack.told else []
    breaches += [each for run in before for each in lost_promises(run)]
    began = time.monotonic()
    resumed: list[RunId] = []
    if stack.starts(STARTED):
        breaches += [each for run in before for each in _comes_to_its_end(stack, run, resumed)]
        seconds = time.monotonic() - began
        breaches += _checked(stack, before, expected)
    else:
        seconds = time.monotonic() - began
        breaches.append("the stack did not start again")
    under_way = len(stack.runs_begun()) - begun
    return Outcome(number, round(at, 2), lost, under_way, tuple(resumed), round(seconds, 1), tuple(breaches))


def _comes_to_its_end(stack: Powered, before: Before, resumed: list[RunId]) -> Iterator[str]:
    """Wait until a run has succeeded. One that Redis has forgotten, or that has lost outputs, is resumed."""
    run, reader = before.run, stack.reader()
    if reader.knows(run) and not holds(lambda: stack.record(reader, run), ENDED):
        yield f"{run} is {reader.state(run)} after {ENDED:.0f} s"
        return
    record = stack.record(reader, run)
    if record is not None and record.state != "succeeded":
        yield f"{run} {record.state} by itself: {record.error}"
    if record is None or record.state != "succeeded" or lost_outputs(record, stack.graph(run), stack.store):
        resumed.append(run)
        status = stack.finishes(ENDED, "resume", run, "--json", name=f"resume-{run}-{len(before.calls)}")
        if status != 0 or not holds(lambda: stack.record(reader, run), ENDED):
            yield f"{run} did not succeed when it was resumed: {status}"


def _checked(stack: Powered, before: Sequence[Before], expected: Mapping[str, JSON]) -> Iterator[str]:
    reader = stack.reader()
    records = {each.run: stack.record(reader, each.run) for each in before}
    known = {run: record for run, record in records.items() if record is not None}
    yield from (f"nothing is known of the end of {run}" for run in records.keys() - known.keys())
    for record in known.values():
        yield from wrong_in_the_end(stack.state.mlflow_tracking_uri, record, expected)
        if lost := lost_outputs(record, stack.graph(record.id), stack.store):
            yield f"{record.id}: the outputs of {sorted(lost)} are lost"
    for each in before:
        yield from done_twice(each, calls_of(stack.calls, each.run))


def _expected(folder: Path) -> Mapping[str, JSON]:
    """What the nodes give without a power cut."""
    sys.path.insert(0, str(HERE))
    os.environ[CALLS] = str(folder / "expected")
    pipeline: Pipeline[..., object] = load_catalogue(["power_cut_pipeline"]).find("interrupted")
    return {name: value for name, value in pipeline.run_locally().items() if isinstance(value, int | str)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power_cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first cut, to repeat one")
    parser.add_argument("--json", type=Path, help="a file that gets a line of JSON for each cut")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
