"""The baseline of `start`, `python -m benchmarks.by_hand`: a Redis and a bare Celery worker, for one task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from celery import Celery

from orchestrator.stack.redis_program import find_redis

_REDIS = "BY_HAND_REDIS"

app = Celery("by_hand", broker=os.environ.get(_REDIS), backend=os.environ.get(_REDIS))


@app.task(name="by_hand.nothing")
def nothing() -> int:
    """The one task."""
    return 1


def main() -> int:
    """Start both, send the task, wait for its result, stop both, as somebody would in three terminals."""
    folder = Path(mkdtemp(prefix="by-hand-"))
    socket = folder / "redis.sock"
    os.environ[_REDIS] = f"redis+socket://{socket}"
    app.conf.update(broker_url=os.environ[_REDIS], result_backend=os.environ[_REDIS])
    redis = _start([str(find_redis()), "--port", "0", "--unixsocket", str(socket), "--save", ""])
    while not socket.exists():
        time.sleep(0.005)
    worker = _start([sys.executable, "-m", "celery", "-A", "benchmarks.by_hand", "worker", "-c", "1"])
    done = nothing.delay().get(timeout=60)
    for process in (worker, redis):
        process.send_signal(signal.SIGTERM)
        process.wait()
    return 0 if done == 1 else 1


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
