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
@pytest.mark.parametrize("fault", ["needs counted twice", "nothing sent again"])
def test_a_known_fault_that_is_put_back_is_found(fault: str) -> None:
    outcome = simulated("--seeds", "500", "--stop", "--brief", "--plant", fault)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "of" in outcome.stdout, "it is told which seed found it"
