"""Capture the output and log records of a stage, line by line, live and for the store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache

from redis.exceptions import RedisError

from orchestrator.archive.logs import Line, read_log, write_log
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.masking import mask_text
from orchestrator.run_id import RunId
from orchestrator.runs.log_stream import read_lines, send_lines
from workers.runtime.resources import WorkerResources
from workers.runtime.streams import installed

log = logging.getLogger("orchestrator.logs")

#: Seconds between two deliveries of new lines to Redis, for clients that follow the run.
PACE = 0.5
#: Maximum lines and characters kept of one attempt.
LIMIT, SIZE = 50_000, 16_000_000
#: Seconds that lines stay in Redis after they are stored: clients that follow the run read them by then.
SOON = 60
FULL = f"it holds {LIMIT:,} lines or {SIZE // 1_000_000} MB of an attempt, and what follows is not kept"


class AttemptLog:
    """The lines of one attempt: sent to Redis while it runs, written to the store at its end."""

    def __init__(self, resources: WorkerResources, run: RunId, node: str, attempt: int) -> None:
        self._resources = resources
        self._run = run
        self._node = node
        self._attempt = attempt
        self._lines: list[Line] = []
        self._size = 0
        self._full = False
        self._sent = 0
        self._last = datetime.fromtimestamp(0, UTC)
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._courier: threading.Thread | None = None

    def add(self, source: str, text: str) -> None:
        """Add a line."""
        self.add_all(source, [text])

    def add_all(self, source: str, texts: Iterable[str]) -> None:
        """Add lines with passwords masked; once the log is full, only add how the attempt failed."""
        with self._lock:
            for text in texts:
                if self._full and source != "error":
                    continue
                self._append(mask_text(source), mask_text(text))
                self._size += len(text)
                if not self._full and (len(self._lines) >= LIMIT or self._size >= SIZE):
                    self._full = True
                    self._append("warning", f"the log is full: {FULL}")
            if self._courier is None and not self._done.is_set():
                self._courier = threading.Thread(target=self._deliver, name="attempt-log", daemon=True)
                self._courier.start()

    def close(self) -> None:
        """Store the lines, or log a warning that they are lost; never fails the attempt.

        Costs nothing if there are no lines.
        """
        self._done.set()
        if self._courier is None:
            return
        self._courier.join()
        name = f"{self._node}#{self._attempt} of run {self._run}"
        retention = self._resources.settings.retention
        try:
            write_log(self._resources.store, self._run, self._node, self._attempt, self._lines)
            if self._attempt > 1:
                self._keep_lost()
            retention = min(SOON, retention)
        except (StoreError, RedisError) as error:
            log.warning("the log of %s was not kept: %s", name, error, extra={"action": "log lost"})
        try:
            self._send(retention)
        except RedisError as error:
            log.warning("who follows %s misses its last lines: %s", name, error, extra={"action": "log lost"})

    def _keep_lost(self) -> None:
        """Store the lines of earlier attempts whose processes were lost: only Redis has them."""
        found: dict[int, list[Line]] = {}
        for _, text in read_lines(self._resources.runs.client, self._run, self._node):
            number, _, line = text.partition(" ")
            found.setdefault(int(number), []).append(Line.from_text(line))
        for attempt in sorted(found.keys() - {self._attempt}):
            if read_log(self._resources.store, self._run, self._node, attempt) is None:
                write_log(self._resources.store, self._run, self._node, attempt, found[attempt])

    def _append(self, source: str, text: str) -> None:
        """Append a line with a unique time, by which clients that follow the run skip known lines."""
        now = datetime.now(UTC)
        self._last = max(now, self._last + timedelta(microseconds=1))
        self._lines.append(Line(self._last, source, text))

    def _deliver(self) -> None:
        while not self._done.wait(PACE):
            if self._sent < len(self._lines):
                self._send(self._resources.settings.retention)

    def _send(self, retention: int) -> None:
        """Send new lines to Redis, and let all lines of the node expire after `retention` seconds."""
        with self._lock:
            fresh = self._lines[self._sent :]
            self._sent = len(self._lines)
        texts = [line.to_text() for line in fresh]
        send_lines(self._resources.runs.client, self._run, self._node, self._attempt, texts, retention)


class _LogHandler(logging.Handler):
    """Adds log records to the running attempt's log. One per process: changing handlers is expensive."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.log: AttemptLog | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.log is None or record.name.startswith("celery"):
            return
        text, streams = self.format(record), installed()
        if streams is not None and streams.copied:  # a forked child: send records through the pipe
            streams.write(2, f"{record.levelname.lower()} {record.name}: {text}\n".encode(errors="replace"))
        else:
            if streams is not None:
                streams.catch_up()
            self.log.add(f"{record.levelname.lower()} {record.name}", text)


@contextmanager
def captured(log: AttemptLog) -> Iterator[None]:
    """Send output and log records inside the block to the attempt's log, and to the worker's own."""
    streams, handler = installed(), _handler()
    handler.log = log
    if streams is not None:
        streams.begin(log.add_all)
    try:
        yield
    finally:
        handler.log = None
        if streams is not None:
            streams.end()


@cache
def _handler() -> _LogHandler:
    """Install this process's handler for INFO and above; existing handlers keep their effective level."""
    handler, root = _LogHandler(), logging.getLogger()
    if root.level > logging.INFO or not root.level:
        for each in root.handlers:
            each.setLevel(max(each.level, root.level))
        root.setLevel(logging.INFO)
    root.addHandler(handler)
    return handler
