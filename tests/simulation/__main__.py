"""Simulates many seeds: `python -m tests.simulation --seeds 20000`; one that fails is shrunk, and told."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from .laboratory import Laboratory, laboratory
from .planted import PLANTED, plant
from .shrinking import shrunk
from .simulation import Case, Outcome, Simulation, warm_up

#: The environment of processes whose sets all have the same order.
ORDERED = {**os.environ, "PYTHONHASHSEED": "0"}


def simulate(case: Case, ready: Laboratory) -> Outcome:
    """One case."""
    return Simulation(case, ready).run()


def report(case: Case, ready: Laboratory) -> None:
    """Shrink a case that fails, and tell its history."""
    small = shrunk(case, lambda smaller: simulate(smaller, ready).breach is not None)
    outcome = simulate(small, ready)
    print(small, "", *outcome.history, "", f"BROKEN: {outcome.breach}", sep="\n")
    print(f"again: PYTHONHASHSEED=0 python -m tests.simulation --seed {case.seed} --seeds 1", flush=True)


def stay_on_one_core(part: int) -> None:
    """Share a core with the Redis of this process: they take turns, and waking another core takes longer."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[part % len(cores)]})


def work(options: argparse.Namespace) -> int:
    """Simulate the seeds of one process; the number of those that failed."""
    seeds = range(options.seed + options.part, options.seed + options.seeds, options.processes)
    broken: Counter[str] = Counter()
    firsts: dict[str, int] = {}
    steps = 0
    stay_on_one_core(options.part)
    with laboratory() as ready:
        warm_up(ready)
        if options.plant:
            plant(options.plant, ready)
        began = time.process_time()
        done = 0
        for seed in seeds:
            done += 1
            case = Case.of(seed)
            outcome = simulate(case, ready)
            steps += outcome.steps
            if outcome.breach is not None:
                kind = re.sub(r"\d+", "#", outcome.breach)[:70]
                firsts.setdefault(kind, seed)
                broken[kind] += 1
                if options.stop:
                    break
        seconds = time.process_time() - began
        for kind, seed in firsts.items():
            print(f"{broken[kind]} of {done} seeds, first {seed}: {kind}", flush=True)
            if not options.brief:
                report(Case.of(seed), ready)
    if not broken:
        print(
            f"{done} seeds, {steps} steps, {done / seconds:.0f} seeds in a second of this process", flush=True
        )
    return sum(broken.values())


def spread(arguments: Iterable[str], processes: int) -> int:
    """Share the seeds between processes, whose sets all have the same order."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", *arguments, "--part", str(part)], env=ORDERED
        )
        for part in range(processes)
    ]
    return max(abs(process.wait()) for process in started)


def plant_each(options: argparse.Namespace) -> int:
    """Plant each known fault in turn, several at a time, until a seed finds it; how many were not found."""
    common = ["--stop", "--brief", "--seeds", str(options.seeds), "--seed", str(options.seed)]

    def find(number: int, fault: str) -> bool:
        began, part = time.monotonic(), str(number % options.processes)
        command = [sys.executable, "-m", "tests.simulation", *common, "--plant", fault, "--part", part]
        done = subprocess.run(command, capture_output=True, text=True, env=ORDERED, check=False)
        found = done.returncode == 1 and " seeds, first " in done.stdout
        told = done.stdout.strip() if found else f"NOT FOUND: {(done.stdout + done.stderr).strip()}"
        print(f"{fault}: {told} ({time.monotonic() - began:.0f} s)", flush=True)
        return found

    with ThreadPoolExecutor(options.processes) as pool:
        return len(PLANTED) - sum(pool.map(find, count(), PLANTED))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--part", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--stop", action="store_true", help="at the first that fails")
    parser.add_argument("--brief", action="store_true", help="tell no histories")
    parser.add_argument("--plant", choices=sorted(PLANTED), help="simulate with this fault in the code")
    parser.add_argument("--plant-each", action="store_true", help="see that each known fault is found")
    options = parser.parse_args()
    if options.plant_each:
        return min(plant_each(options), 1)
    if options.part is None:
        return spread(sys.argv[1:], options.processes)
    return min(work(options), 1)


sys.exit(main())
