"""The long-running services: `worker` becomes a Celery worker, `coordinator` looks after runs."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.harness.redis_server import RedisServer
from tests.harness.waiting import wait_until

from .conftest import Shell


def test_a_worker_serves_its_queues_until_it_is_told_to_stop(joined: Shell) -> None:
    joined("run", "study", "--detach")
    with joined.start("worker", "training", "--slots", "1", "--name", "trainer") as process:
        wait_until(lambda: '"succeeded"' in joined("show", "latest", "--json").out, "the run is done")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert out.startswith("worker for training: 1 at once")
    assert process.returncode == 0, err
    assert "trainer@" in joined("show", "latest").out


def test_a_coordinator_waits_for_a_redis_that_is_not_there_yet(alone: Shell, tmp_path: Path) -> None:
    with alone.where(REDIS_URL=f"redis+socket://{tmp_path}/redis.sock").start("coordinator") as process:
        assert process.stderr is not None
        assert "waiting for it" in process.stderr.readline()
        own = RedisServer(tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("coordinator: looking after runs")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    own.stop()
