"""Keeps what a stage prints and logs, line by line, while it runs and afterwards."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from typing import TextIO

from redis.exceptions import RedisError

from orchestrator.archive.logs import Line, write_log
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.masking import mask_text
from orchestrator.runs.keys import RunId, RunKeys
from workers.runtime.workshop import Workshop

log = logging.getLogger("orchestrator.logs")

#: Seconds between two deliveries of fresh lines to those who follow a run.
PACE = 0.5
#: Lines that are kept of one attempt, and that a follower can look back on.
LIMIT, LOOKBACK = 50_000, 5_000


class AttemptLog:
    """The lines of one attempt: fresh ones go to Redis while it runs, all of them to the store at its end."""

    def __init__(self, workshop: Workshop, run: RunId, node: str, attempt: int) -> None:
        self._workshop = workshop
        self._run = run
        self._node = node
        self._attempt = attempt
        self._lines: list[Line] = []
        self._sent = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._courier: threading.Thread | None = None

    def add(self, source: str, text: str) -> None:
        """Keep a line, with passwords masked."""
        text = mask_text(text)
        with self._lock:
            if len(self._lines) < LIMIT:
                self._lines.append(Line(datetime.now(UTC), source, text))
            if self._courier is None and not self._done.is_set():
                self._courier = threading.Thread(target=self._deliver, name="attempt-log", daemon=True)
                self._courier.start()

    def close(self) -> None:
        """Store the lines, or say that they are lost: the attempt itself is over, however it went.

        Costs nothing where there are none.
        """
        self._done.set()
        if self._courier is None:
            return
        self._courier.join()
        try:
            self._send()
            write_log(self._workshop.store, self._run, self._node, self._attempt, self._lines)
        except (StoreError, RedisError) as error:
            name = f"{self._node}#{self._attempt} of run {self._run}"
            log.warning("the log of %s was not kept: %s", name, error, extra={"action": "log lost"})

    def _deliver(self) -> None:
        while not self._done.wait(PACE):
            self._send()

    def _send(self) -> None:
        with self._lock:
            fresh = self._lines[self._sent :]
            self._sent = len(self._lines)
        key = RunKeys(self._run).log(self._node)
        with self._workshop.runs.client.pipeline(transaction=False) as pipe:
            for line in fresh:
                fields = {"attempt": str(self._attempt), "line": line.to_text()}
                pipe.xadd(key, fields, maxlen=LOOKBACK, approximate=True)  # type: ignore[arg-type]
            if fresh:
                pipe.expire(key, self._workshop.settings.retention)
                pipe.execute()


class _LineWriter(io.TextIOBase):
    """A text stream that hands whole lines to a log, and passes everything on."""

    def __init__(self, log: AttemptLog, source: str, through: TextIO) -> None:
        self._log = log
        self._source = source
        self._through = through
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log.add(self._source, line)
        self._through.write(text)
        return len(text)

    def flush(self) -> None:
        self._through.flush()

    def finish(self) -> None:
        """Hand over what has no line end."""
        if self._rest:
            self._log.add(self._source, self._rest)
            self._rest = ""


class _LogHandler(logging.Handler):
    def __init__(self, log: AttemptLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("celery"):
            return
        self._log.add(f"{record.levelname.lower()} {record.name}", self.format(record))


@contextmanager
def captured(log: AttemptLog) -> Iterator[None]:
    """Inside the block, prints and log records go to the attempt's log (and to the worker's own)."""
    out, err = _LineWriter(log, "stdout", sys.stdout), _LineWriter(log, "stderr", sys.stderr)
    handler = _LogHandler(log)
    root = logging.getLogger()
    if root.level > logging.INFO or not root.level:
        _let_records_through(root)
    root.addHandler(handler)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        root.removeHandler(handler)
        out.finish()
        err.finish()


def _let_records_through(root: logging.Logger) -> None:
    """Let INFO records reach the logs of attempts, while the handlers there are stay at their level.

    Once in a process: each change of a level makes every logger forget what it knows.
    """
    for handler in root.handlers:
        handler.setLevel(max(handler.level, root.level))
    root.setLevel(logging.INFO)
