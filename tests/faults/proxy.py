"""A stretch of network between a client and a service, which can be cut, and which can be slow."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeAlias

#: A socket's path, or a port on loopback.
Address: TypeAlias = Path | int

CHUNK = 256 * 1024


class Proxy:
    """Passes on what comes in at one address to another, in both directions."""

    def __init__(self, at: Address, to: Address) -> None:
        self._at, self._to = at, to
        self._delay = (0.0, 0.0)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name=f"proxy {at}", daemon=True).start()
        self.mend()

    def cut(self) -> None:
        """End all connections without a word, and refuse new ones."""
        self._do(self._cut())

    def mend(self) -> None:
        """Take connections (again)."""
        self._do(self._listen())

    def slow_down(self, shortest: float, longest: float) -> None:
        """Hold up whatever the client says by so many seconds, each time anew; not at all for 0."""
        self._delay = (shortest, longest)

    def stop(self) -> None:
        """Cut, for good."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, task: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(task, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is not None:
            return
        if isinstance(self._at, Path):
            self._at.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._connect, self._at)
        else:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._at)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if isinstance(self._to, Path):
                beyond, further = await asyncio.open_unix_connection(self._to)
            else:
                beyond, further = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:  # what is behind is not there: as if it were asked directly
            self._leave(writer)
            return
        self._writers.add(further)
        back = asyncio.ensure_future(self._pass_on(beyond, writer, slowly=False))
        await self._pass_on(reader, further, slowly=True)
        await back
        for each in (writer, further):
            self._leave(each)

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slowly: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if slowly and self._delay[1]:
                    await asyncio.sleep(random.uniform(*self._delay))
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
