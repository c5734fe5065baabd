"""Simulated runs, in which what must hold does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def simulated(*options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: it has another clock, other stores, and another source of chance."""
    command = [sys.executable, "-m", "tests.simulation", *options]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)


@pytest.mark.timeout(600)
def test_what_must_hold_holds_in_simulated_runs() -> None:
    outcome = simulated("--seeds", "1000", "--processes", "2", "--brief")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_before_any_step_costs_what_was_at_work_and_nothing_else() -> None:
    command = [sys.executable, "-m", "tests.simulation.each_step"]
    ordered = {**os.environ, "PYTHONHASHSEED": "0"}
    outcome = subprocess.run(command, capture_output=True, text=True, env=ordered, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "seed"),
    [
        ("needs counted twice", 0),
        ("nothing sent again", 0),
        ("models by the clock", 9600),
        ("cancelled only once", 0),
        ("the heartbeat ends silently", 0),
        ("unreadable for ever", 0),
        ("a script over two slots", 0),
        ("keys without an end", 0),
        ("an id for two runs", 0),
        ("concluded by a queue that nobody serves", 0),
    ],
)
def test_a_known_fault_that_is_put_back_is_found(fault: str, seed: int) -> None:
    """Those that take seconds, from a seed near one that finds it; `make plants` has all of them."""
    found = ["--seed", str(seed), "--seeds", "2000", "--stop", "--brief", "--plant", fault]
    outcome = simulated(*found)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "of" in outcome.stdout, "it is told which seed found it"
