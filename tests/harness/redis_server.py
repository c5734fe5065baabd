"""A real Redis as a process of the test's own, which can be killed and come back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from orchestrator.stack.redis_program import find_redis

from .services import Service, start
from .waiting import wait_until


class RedisServer:
    """A Redis behind a socket in a folder.

    It has nothing on the disk, or, where it is `durable`, all that it has answered.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._folder = folder
        self._socket = folder / "redis.sock"
        self._durable = durable
        self.url = f"redis+socket://{self._socket}"
        self._service = self._start()

    def kill(self) -> None:
        """End it without a word."""
        self._service.process.kill()
        self._service.process.wait()

    def start_again(self) -> None:
        """Start it with what it has on the disk."""
        self._service = self._start()

    def stop(self) -> None:
        self._service.stop()

    def _start(self) -> Service:
        self._socket.unlink(missing_ok=True)
        place = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder), "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        service = start([str(find_redis()), *place, *durable], self._folder / "redis.log", {})
        wait_until(self._socket.exists, "redis listens")
        return service


@contextmanager
def private_redis() -> Iterator[str]:
    """The URL of a Redis behind a socket, gone with the block."""
    folder = Path(mkdtemp(prefix="orchestrator-test-"))
    server = RedisServer(folder)
    try:
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(folder)
