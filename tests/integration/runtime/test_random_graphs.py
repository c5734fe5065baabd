"""Random graphs do on workers what a reference interpreter says they should; `make faults` runs many more."""

from __future__ import annotations

import pytest

from tests.harness.runner import Runner
from tests.random_graphs.trial import send, wait_for

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("first", [0, 12])
def test_runs_agree_with_the_interpreter(runner: Runner, first: int) -> None:
    trials = [send(seed, store=runner.store, runs=runner.runs) for seed in range(first, first + 12)]
    wait_for(trials, lambda run: runner.reader.state(run).over, 60)
    found = [trial.told(breaches) for trial in trials if (breaches := trial.breaches(runner.reader))]
    assert not found, "\n\n".join(found)
