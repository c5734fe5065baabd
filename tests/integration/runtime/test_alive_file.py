"""A file that workers and the coordinator touch while they work, which health checks look at."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.harness.cluster import LocalCluster
from tests.harness.services import Service, start
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

#: As in docker-compose.yml, with less patience.
CHECK = 'find "{file}" -newermt "-3 seconds" | grep -q .'


def is_well(file: Path) -> bool:
    return os.system(CHECK.format(file=file)) == 0  # noqa: S605 - a shell is what Docker gives it


def stops_being_well_while_it_is_paused(service: Service, file: Path) -> None:
    wait_until(lambda: is_well(file), "it is well", 30)
    time.sleep(3.5)
    assert is_well(file)
    service.signal_all(signal.SIGSTOP)
    wait_until(lambda: not is_well(file), "it is not well any more", 10)
    service.signal_all(signal.SIGCONT)
    wait_until(lambda: is_well(file), "it is well again", 10)


@pytest.mark.slow
def test_a_worker_touches_it(cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert not is_well(file)
    worker = cluster.start("worker", alive_file=str(file))
    stops_being_well_while_it_is_paused(worker, file)


@pytest.mark.slow
def test_the_coordinator_touches_it(cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    environment = {**cluster.environment, "ORCHESTRATOR_ALIVE_FILE": str(file)}
    command = [sys.executable, "-m", "orchestrator", "coordinator"]
    coordinator = start(command, tmp_path / "coordinator.log", environment, group=True)
    try:
        stops_being_well_while_it_is_paused(coordinator, file)
    finally:
        coordinator.kill()
