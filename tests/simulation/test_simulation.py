"""Simulated runs, in which what must hold does."""

from __future__ import annotations

import os
import subprocess
import sys


def simulated(*options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: it has another clock, other stores, and another source of chance."""
    command = [sys.executable, "-m", "tests.simulation", *options]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)


def test_what_must_hold_holds_in_simulated_runs() -> None:
    outcome = simulated("--seeds", "300", "--processes", "2", "--brief")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
