"""Makes a process ready for simulations: a Redis of its own, settings, tasks, and seams."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from .messages import FETCH
from .stepped_redis import LinkedRedis, private_server, simulated_source


@dataclass(frozen=True)
class Laboratory:
    """Where simulations are run, one after the other."""

    plain: redis.Redis  #: calls are no steps
    raw: redis.Redis  #: nor are they here, and replies are bytes
    pool: redis.ConnectionPool

    def load_scripts(self) -> None:
        """Have Redis know all transitions, so that none is sent in the middle of a simulation."""
        self.plain.script_load(FETCH)
        for file in files("orchestrator.runs").joinpath("lua").iterdir():
            name = Path(file.name)
            if name.suffix == ".lua" and name.stem not in ("prelude", "lead", "step_down"):
                self.plain.script_load(simulated_source(name.stem))


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Within the block, this process simulates, and is good for nothing else."""
    with private_server() as socket, TemporaryDirectory(prefix="orchestrator-simulation-") as home:
        os.environ |= {
            "REDIS_URL": f"redis+socket://{socket}",
            "ORCHESTRATOR_HOME": home,
            "ORCHESTRATOR_QUEUES": "data,training",
            "ORCHESTRATOR_LEASE_SECONDS": "10",
        }
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore", RuntimeWarning)  # Celery's, where Redis is away at a task's end
        from orchestrator.messaging.app import app
        from workers.runtime.builtin_tasks import register_builtin_tasks
        from workers.runtime.stage_task import register_tasks

        from . import seams, stages

        del stages  # imported, they are known
        register_builtin_tasks(app)
        register_tasks(app)
        app.finalize()
        pool = redis.ConnectionPool(
            connection_class=redis.UnixDomainSocketConnection,
            path=socket,
            decode_responses=True,
            encoding_errors="backslashreplace",
        )
        seams.install(pool)
        LinkedRedis.link = pool.get_connection()
        raw = redis.Redis(unix_socket_path=socket)
        ready = Laboratory(LinkedRedis(connection_pool=pool), raw, pool)
        ready.load_scripts()
        yield ready
