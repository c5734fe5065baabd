"""Runs the suite in full: `python -m tests.faults --runs 200 --seed 0`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

from orchestrator.authoring.graph import JSON
from tests.harness.waiting import holds

from .faults import FAULTS
from .rig import Rig
from .schedule import Planned, schedule
from .surroundings import Surroundings, needed_by
from .trial import Outcome, try_run


def main() -> int:
    """Run, print each run as it ends and a table at last; 1 if something did not hold."""
    options = _options()
    kinds = options.faults.split(",")
    outcomes: list[Outcome] = []
    left: list[str] = []
    for outcome in suite(options.runs, options.seed, kinds, left, first=options.first):
        outcomes.append(outcome)
        if options.json:
            with options.json.open("a") as file:
                file.write(outcome.to_json() + "\n")
        print(_line(outcome), flush=True)
    print("\n".join(["", *table(outcomes, kinds), *left]))
    return int(any(outcome.breaches for outcome in outcomes) or bool(left))


def suite(
    runs: int, seed: int, kinds: Sequence[str], left: list[str], *, first: int = 0
) -> Iterator[Outcome]:
    """The runs one after the other; those whose faults need the same services share a rig.

    After a run that did not end as it should, the rig is made anew.
    """
    folder = Path(mkdtemp(prefix="orchestrator-faults-"))
    planned = {number: schedule(seed, number, kinds) for number in range(first, first + runs)}
    rig: Rig | None = None
    expected: Future[Mapping[str, JSON]] | None = None
    aside = ThreadPoolExecutor(1)
    broken = False
    try:
        for number, faults in sorted(planned.items(), key=lambda each: (_needed(each[1]), each[0])):
            if rig is not None and rig.surroundings != _needed(faults):
                left += rig.stop()
                rig = None
            if rig is None:
                rig = _rig(folder, number, _needed(faults))
                expected = expected or aside.submit(_expected, rig)  # it sleeps, as the services start
                _make_whole(rig)
            assert expected is not None
            outcome = try_run(rig, number, faults, expected.result())
            yield outcome
            if outcome.breaches:
                broken = True
                print(f"     kept: {rig.folder}")
                left += rig.stop()
                rig = None
    except BaseException:
        broken = True
        raise
    finally:
        aside.shutdown()
        if rig is not None:
            left += rig.stop()
        if not broken and not left:
            shutil.rmtree(folder)


def _needed(faults: Sequence[Planned]) -> Surroundings:
    return needed_by(each.fault for each in faults)


def _expected(rig: Rig) -> dict[str, JSON]:
    """What the nodes give without faults."""
    return {name: value for name, value in rig.pipeline.run_locally().items() if isinstance(value, int)}


def table(outcomes: Sequence[Outcome], kinds: Sequence[str]) -> Iterator[str]:
    """What became of the runs, by fault."""
    yield "| fault | times injected | runs | ended as they should | longest recovery, s |"
    yield "|---|---|---|---|---|"
    for kind in kinds:
        yield _row(kind, kind, outcomes)
    yield _row("all", None, outcomes)


def _row(name: str, kind: str | None, outcomes: Sequence[Outcome]) -> str:
    hit = [each for each in outcomes if kind is None or any(fault.fault == kind for fault in each.faults)]
    times = sum(kind is None or fault.fault == kind for each in hit for fault in each.faults)
    good = sum(not each.breaches for each in hit)
    longest = max((each.recovery for each in hit), default=0.0)
    return f"| {name} | {times} | {len(hit)} | {good} | {longest:.1f} |"


def _line(outcome: Outcome) -> str:
    faults = ", ".join(f"{each.fault} at {each.at:.2f} s" for each in outcome.faults)
    times = f"{outcome.seconds:6.1f} s (still for {outcome.recovery:.1f} s)"
    text = f"{outcome.number:4} {outcome.run} {times}: {faults}"
    return "\n".join([text, *(f"     BREACH {each}" for each in outcome.breaches)])


def _rig(folder: Path, number: int, surroundings: Surroundings) -> Rig:
    """A rig that starts. All of them have the same socket, since Celery's application keeps its address."""
    return Rig(folder / f"from-run-{number}", folder / "redis.sock", surroundings)


def _make_whole(rig: Rig) -> None:
    """Wait until a rig works."""
    if not holds(rig.is_whole, 60):
        raise SystemExit(f"the workers did not start: see {rig.folder}")
    # Undisturbed: MLflow makes its SQLite file at its first use, and does not survive a SIGKILL while it does
    run = rig.submit()
    if not holds(lambda: rig.reader.concluded(run), 60):
        raise SystemExit(f"a run without faults did not end: see {rig.folder}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, to repeat one")
    parser.add_argument("--faults", default=",".join(FAULTS), help="comma-separated; all by default")
    parser.add_argument("--json", type=Path, help="a file that gets a line of JSON for each run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
