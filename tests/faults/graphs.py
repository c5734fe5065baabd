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

from ..random_graphs.trial import Trial, send, wait_for
from .checks import COSTLY
from .faults import FAULTS
from .rig import Rig, apart
from .schedule import Planned, schedule
from .surroundings import Surroundings, needed_by
from .waiting import holds

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
    bad = 0
    for kinds in (
        ((), KINDS) if options.faults is None else (options.faults.split(",") if options.faults else (),)
    ):
        seeds = range(options.seed, options.seed + options.runs)
        outcomes = []
        for outcome in suite(seeds, kinds):
            outcomes.append(outcome)
            print(_line(outcome), flush=True)
        good = sum(len(each.trials) - len(each.breaches) for each in outcomes)
        hit = sum(len(each.faults) for each in outcomes)
        print(f"{good} of {len(seeds)} did as they should, hit by {hit} faults\n", flush=True)
        bad += len(seeds) - good
    return int(bad > 0)


def suite(seeds: Sequence[int], kinds: Sequence[str]) -> Iterator[Outcome]:
    """The graphs of these seeds, a few at a time. After graphs that did not end, the rig is made anew."""
    folder = Path(mkdtemp(prefix="orchestrator-graphs-"))
    rig: Rig | None = None
    broken = False
    try:
        for first in range(0, len(seeds), TOGETHER):
            if rig is None:
                rig = Rig(folder / f"from-{seeds[first]}", folder / "redis.sock", Surroundings())
                if not holds(rig.is_whole, 60):
                    raise SystemExit(f"the workers did not start: see {rig.folder}")
            faults = schedule(seeds[0], first // TOGETHER, kinds) if kinds else ()
            outcome = _try(rig, seeds[first : first + TOGETHER], faults)
            yield outcome
            if outcome.breaches:
                broken = True
                print(f"     kept: {rig.folder}")
            if any("has not ended" in line for lines in outcome.breaches.values() for line in lines):
                rig.stop()
                rig = None
    finally:
        if rig is not None:
            rig.stop()
        if not broken:
            shutil.rmtree(folder)


def _try(rig: Rig, seeds: Sequence[int], faults: tuple[Planned, ...]) -> Outcome:
    began = time.monotonic()
    trials = apart(lambda: [send(seed, store=rig.store, runs=rig.runs) for seed in seeds])
    threads = [threading.Thread(target=_hit, args=(rig, trials, each)) for each in faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(trials, lambda run: holds(lambda: rig.reader.concluded(run), 0.05), PATIENCE)
    holds(rig.is_whole, 40)
    costly = sum(each.fault in COSTLY for each in faults)
    found = {trial.seed: trial.breaches(rig.reader, costly=costly) for trial in trials}
    breaches = {seed: lines for seed, lines in found.items() if lines}
    return Outcome(faults, time.monotonic() - began, tuple(trials), breaches)


def _hit(rig: Rig, trials: Sequence[Trial], planned: Planned) -> None:
    time.sleep(planned.at)
    chance = random.Random(planned.seed)
    FAULTS[planned.fault](rig, chance.choice(trials).run, chance)


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
    parser.add_argument("--faults", help="comma-separated, empty for none; by default none first, then all")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
