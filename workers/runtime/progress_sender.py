"""Tell others how far the loops of an attempt have come: twice a second, from a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from redis.exceptions import RedisError

from orchestrator.authoring.progress import Loops, Progress

log = logging.getLogger(__name__)

#: Seconds between two writes to Redis.
PACE = 0.5


@contextmanager
def sent_progress(send: Callable[[Progress | None], None]) -> Iterator[Loops]:
    """Inside the block, `send` is called with how far the latest loop has come, and with None after it.

    An attempt without loops that take time costs no call.
    """
    sender = _Sender(send)
    try:
        yield sender.loops
    finally:
        sender.close()


class _Sender:
    def __init__(self, send: Callable[[Progress | None], None]) -> None:
        self.loops = Loops(self._begin)
        self._send = send
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._sent: Progress | None = None

    def _begin(self) -> None:
        """Start the thread at the first loop; a copy of this process (`os.fork`) tells nothing."""
        if self._thread is not None or os.getpid() != self._process:
            return
        with self._lock:
            if self._thread is None and not self._over.is_set():
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread is None or os.getpid() != self._process:
            return
        self._thread.join()
        self._tell(None)

    def _run(self) -> None:
        while not self._over.wait(PACE):
            self._tell(self.loops.latest)

    def _tell(self, latest: Progress | None) -> None:
        if _content(latest) == _content(self._sent):
            return
        try:
            self._send(latest)
        except RedisError as error:  # the next one may arrive; the last one counts only while the node runs
            log.info("its progress cannot be told: %s", error)
            return
        self._sent = latest


def _content(progress: Progress | None) -> Progress | None:
    """A progress without the time, which goes on while no item is done."""
    return None if progress is None else replace(progress, seconds=0.0)
