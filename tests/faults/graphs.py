"""Runs random graphs, undisturbed and hit by faults: `python -m tests.faults.graphs --runs 300 --seed 0`.

Each has to do what a reference interpreter says: values, states and how often each function is called.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from tests.harness.waiting import holds

from ..random_graphs.trial import Trial, send, wait_for
from .checks import COSTLY
from .faults import FAULTS
from .rig import Rig, apart
from .schedule import Planned, schedule
from .surroundings import Surroundings, needed_by

#: Those that need no other services than files.
KINDS = tuple(kind for kind in FAULTS if needed_by([kind]) == Surroundings())
#: Graphs that run at the same time, and are hit by the same faults.
TOGETHER = 10
#: Seconds that they may take together with all faults before one of them counts as lost.
PATIENCE = 90.0


@dataclass(frozen=True)
class Outcome:
    """What became of graphs that ran at the same time."""

    faults: tuple[Planned, ...]
    seconds: float
    trials: tuple[Trial, ...]
    breaches: dict[int, list[str]]  #: by seed


def main() -> int:
    """Run, print each batch as it ends and the sum at last; 1 if something did not hold."""
    options = _options()
    print(f"{options.runs} random graphs from seed {options.seed}", flush=True)
    seeds = range(options.seed, options.seed + options.runs)
    passes = [(), KINDS] if options.faults is None else [tuple(filter(None, options.faults.split(",")))]
    folder = Path(mkdtemp(prefix="orchestrator-graphs-"))
    bad = 0
    left: list[str] = []
    for kinds in passes:
        outcomes = []
        for outcome in suite(folder, seeds, kinds, left, first=options.first):
            outcomes.append(outcome)
            print(_line(outcome), flush=True)
        tried = sum(len(each.trials) for each in outcomes)
        good = sum(len(each.trials) - len(each.breaches) for each in outcomes)
        hit = sum(len(each.faults) for each in outcomes)
        print(f"{good} of {tried} did as they should, hit by {hit} faults\n", flush=True)
        bad += tried - good
    print("\n".join(left))
    if bad or left:
        return 1
    shutil.rmtree(folder)
    return 0


def suite(
    folder: Path, seeds: Sequence[int], kinds: Sequence[str], left: list[str], *, first: int = 0
) -> Iterator[Outcome]:
    """The graphs of these seeds, a few at a time. After graphs that did not end, the rig is made anew.

    What the services leave behind is added to `left`. All rigs have the same socket, since Celery's
    application keeps its address.
    """
    rig: Rig | None = None
    try:
        for at in range(first, len(seeds), TOGETHER):
            if rig is None:
                name = f"{'hit' if kinds else 'calm'}-from-{seeds[at]}"
                rig = Rig(folder / name, folder / "redis.sock", Surroundings())
                if not holds(rig.is_whole, 60):
                    raise SystemExit(f"the workers did not start: see {rig.folder}")
            faults = schedule(seeds[0], at // TOGETHER, kinds) if kinds else ()
            outcome = _try(rig, seeds[at : at + TOGETHER], faults)
            yield outcome
            if outcome.breaches:
                print(f"     kept: {rig.folder}")
            if any("has not ended" in line for lines in outcome.breaches.values() for line in lines):
                left += rig.stop()
                rig = None
    finally:
        if rig is not None:
            left += rig.stop()


def _try(rig: Rig, seeds: Sequence[int], faults: tuple[Planned, ...]) -> Outcome:
    began = time.monotonic()
    trials = apart(lambda: [send(seed, store=rig.store, runs=rig.runs) for seed in seeds])
    errors: list[str] = []
    threads = [threading.Thread(target=_hit, args=(rig, trials, each, errors)) for each in faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(trials, lambda run: holds(lambda: rig.reader.concluded(run), 0.05), PATIENCE)
    holds(rig.is_whole, 40)
    forgetful = sum(each.fault == "redis_forgets" for each in faults)
    costly = sum(each.fault in COSTLY for each in faults) - forgetful
    found = {trial.seed: trial.breaches(rig.reader, costly=costly, forgetful=forgetful) for trial in trials}
    found[trials[0].seed] += errors
    breaches = {seed: lines for seed, lines in found.items() if lines}
    return Outcome(faults, time.monotonic() - began, tuple(trials), breaches)


def _hit(rig: Rig, trials: Sequence[Trial], planned: Planned, errors: list[str]) -> None:
    time.sleep(planned.at)
    chance = random.Random(planned.seed)
    try:
        FAULTS[planned.fault](rig, chance.choice(trials).run, chance)
    except Exception as error:  # noqa: BLE001 - a fault that did not happen must not look like one survived
        errors.append(f"{planned.fault} could not be done: {error!r}")


def _line(outcome: Outcome) -> str:
    seeds = f"{outcome.trials[0].seed}-{outcome.trials[-1].seed}"
    faults = ", ".join(f"{each.fault} at {each.at:.2f} s" for each in outcome.faults)
    lines = [f"{seeds:>9} {outcome.seconds:6.1f} s {faults}"]
    for trial in outcome.trials:
        if trial.seed in outcome.breaches:
            lines.append(trial.told(f"BREACH {line}" for line in outcome.breaches[trial.seed]))
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.graphs", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="graphs to leave out, to repeat later ones")
    parser.add_argument("--faults", help="comma-separated, empty for none; by default none first, then all")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
