"""Whatever workers, supervisor and user do, in whatever order, the run store does what its model says."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import RunMachine


def effort() -> settings:
    """The same examples each time, as found, because making one smaller takes minutes.

    `pytest tests/integration/runs --hypothesis-profile=long --timeout=0` tries many others, and makes
    smaller what fails.
    """
    chosen = settings(suppress_health_check=list(HealthCheck))
    if settings.get_current_profile_name() == "long":
        return chosen
    return settings(
        chosen,
        max_examples=110,
        stateful_step_count=50,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )


@pytest.mark.timeout(400)  # it computes; half a minute on a machine with nothing else to do
def test_the_store_does_what_its_model_says(client: redis.Redis) -> None:
    class Machine(RunMachine):
        pass

    Machine.client = client
    run_state_machine_as_test(Machine, settings=effort())
