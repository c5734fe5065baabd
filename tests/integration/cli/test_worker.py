"""`orchestrator worker` becomes a Celery worker."""

from __future__ import annotations

import signal

from ..conftest import wait_until
from .conftest import Shell


def test_a_worker_serves_its_queues_until_it_is_told_to_stop(joined: Shell) -> None:
    joined("run", "study", "--detach")
    with joined.start("worker", "training", "--slots", "1", "--name", "trainer") as process:
        wait_until(lambda: '"succeeded"' in joined("show", "latest", "--json").out, "the run is done", 30)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert out.startswith("worker for training: 1 at once")
    assert process.returncode == 0, err
    assert "trainer@" in joined("show", "latest").out
