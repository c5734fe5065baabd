"""A short selection of the suite: `make faults` runs it in full."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .schedule import schedule

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
#: Few runs with many faults, of every kind, whose long waits fall together.
RUNS, SEED = 5, 16691
KINDS = (
    "kill_child",
    "kill_worker",
    "pause_worker",
    "restart_redis",
    "cut_connection",
    "duplicate_message",
    "resend_run",
    "kill_coordinator",
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, list[str]]:
    """What did not hold, by run: of a process of its own, since Celery's application has one broker."""
    lines = tmp_path_factory.mktemp("faults") / "outcomes.jsonl"
    command = [sys.executable, "-m", "tests.faults", "--runs", str(RUNS), "--seed", str(SEED)]
    options = ["--faults", ",".join(KINDS), "--json", str(lines)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=280)
    print(done.stdout, done.stderr)
    found = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    by_run = {outcome["number"]: outcome["breaches"] for outcome in found}
    if len(by_run) == RUNS and not any(by_run.values()):
        assert done.returncode == 0, done.stdout + done.stderr  # something was left running
    return by_run


@pytest.mark.parametrize("number", range(RUNS), ids=lambda n: "+".join(_names(n)))
def test_a_run_ends_as_it_should_whatever_hits_it(outcomes: Mapping[int, list[str]], number: int) -> None:
    assert number in outcomes, "the suite ended before this run"
    assert not outcomes[number]


def test_every_kind_of_fault_is_in_the_selection() -> None:
    assert {name for number in range(RUNS) for name in _names(number)} == set(KINDS)


def _names(number: int) -> list[str]:
    return [planned.fault for planned in schedule(SEED, number, KINDS)]
