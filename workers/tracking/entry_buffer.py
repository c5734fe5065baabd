"""Hold an attempt's small entries for up to a second, so that they go to MLflow in one request."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from workers.tracking.entries import SmallEntry

#: The longest that an entry is held.
SECONDS = 1.0


class EntryBuffer:
    """The small entries of one running attempt that are not sent yet.

    An error of those that were sent in the background is raised by the next call.
    """

    def __init__(self, send: Callable[[Sequence[SmallEntry]], None]) -> None:
        self._send = send
        self._held: list[SmallEntry] = []
        self._lock = threading.RLock()
        self._sent: threading.Event | None = None  #: once what is held now is sent
        self._error: Exception | None = None
        self._process = os.getpid()

    def add(self, entry: SmallEntry) -> None:
        """Hold an entry, and send it with others after a second or at the next flush."""
        if os.getpid() != self._process:  # a process that the stage has forked, which nobody has flush
            self._send([entry])
            return
        with self._lock:
            self._raise_error()
            self._held.append(entry)
            if self._sent is None:
                self._sent = threading.Event()
                background = threading.Thread(
                    target=self._flush_later, args=(self._sent,), name="tracking", daemon=True
                )
                background.start()

    def flush(self) -> None:
        """Send what is held, before this returns."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._raise_error()
            self._flush()

    def holds_only(self, kind: type[SmallEntry]) -> bool:
        """Whether all that is held is of one kind."""
        with self._lock:
            return all(isinstance(entry, kind) for entry in self._held)

    def take(self) -> list[SmallEntry]:
        """Return what is held, for the caller to send."""
        with self._lock:
            if self._sent is not None:
                self._sent.set()
                self._sent = None
            held, self._held = self._held, []
            return held

    def _flush(self) -> None:
        held = self.take()
        if held:
            self._send(held)

    def _flush_later(self, sent: threading.Event) -> None:
        sent.wait(SECONDS)
        with self._lock:
            if sent.is_set():
                return
            try:
                self._flush()
            except Exception as error:  # noqa: BLE001 - the stage's thread is to have it
                self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
