"""Capture the output of a stage's process: Python's prints, and output of C libraries and child processes.

Python's prints are captured in `sys.stdout` and `sys.stderr`, at once and in order. All other output arrives
through the file descriptors 1 and 2, which are pipes. A thread reads them, and so does the end of an attempt,
so that no output is lost or attributed to the next attempt. All output is also written, masked, to the
worker's own output.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TextIO, TypeAlias

from workers.runtime.lines import Lines
from workers.runtime.masked_log import MaskedBytes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: Receives the stream's name, `stdout` or `stderr`, and lines.
Sink: TypeAlias = Callable[[str, Iterable[str]], None]

_CHUNK = 65_536
#: Maximum reads per drain: enough to empty a pipe, but bounded if a process writes without end.
_READS = 16


class Streams:
    """Captures standard output and standard error of this process for its whole lifetime."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sink: Sink | None = None
        self._copied = False  #: this is a forked child process (`os.fork`)
        self._flush_c = ctypes.CDLL(None).fflush
        self._poll = select.poll()
        self._streams = {number: _Stream(number, name) for number, name in ((1, "stdout"), (2, "stderr"))}
        self._by_pipe = {stream.pipe: stream for stream in self._streams.values()}
        for stream in self._streams.values():
            self._poll.register(stream.pipe, select.POLLIN)
        _send_elsewhere(self._streams[2].through)
        self._open()
        os.register_at_fork(after_in_child=self._become_a_copy)
        threading.Thread(target=self._read_on, name="streams", daemon=True).start()

    def begin(self, sink: Sink) -> None:
        """Send all lines written from now on to this sink."""
        with self._lock:
            for stream in self._streams.values():
                stream.connect()
            self._drain()
            self._sink = sink
        if not (self._is_as_made(sys.stdout) and self._is_as_made(sys.stderr)):
            self._open()

    def end(self) -> None:
        """Send everything written so far to the sink, then detach it."""
        for file in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                file.flush()  # type: ignore[union-attr]
        self._flush_c(None)
        with self._lock:
            self._drain()
            for stream in self._streams.values():
                rest = stream.lines.rest()
                if rest and self._sink is not None:
                    self._sink(stream.name, [rest])
                stream.pass_on(stream.masked.rest())
            self._sink = None

    def write(self, number: int, data: ReadableBuffer) -> int:
        """Write what Python code prints; return the number of bytes."""
        if self._copied:
            return os.write(number, data)
        written = bytes(data)
        with self._lock:
            self._drain()  # keep the order with earlier output of child processes
            self._take(self._streams[number], written)
        return len(written)

    def catch_up(self) -> None:
        """Send pending output of C libraries and child processes to the sink, ahead of a log record."""
        with self._lock:
            self._drain()

    def _take(self, stream: _Stream, data: bytes) -> None:
        stream.pass_on(stream.masked.feed(data))
        if self._sink is None:
            stream.pass_on(stream.masked.rest())
        if self._sink is not None and (lines := stream.lines.feed(data)):
            self._sink(stream.name, lines)

    def _drain(self) -> None:
        for _ in range(_READS):
            ready = self._poll.poll(0)
            if not ready:
                return
            for pipe, _ in ready:
                self._take(self._by_pipe[pipe], os.read(pipe, _CHUNK))

    def _read_on(self) -> None:
        waiting = select.poll()
        for pipe in self._by_pipe:
            waiting.register(pipe, select.POLLIN)
        while True:
            waiting.poll()
            with self._lock:
                self._drain()

    def _open(self) -> None:
        self._texts = tuple(
            io.TextIOWrapper(
                io.BufferedWriter(_Python(number, self.write)),
                encoding="utf-8",
                errors="backslashreplace",
                line_buffering=True,
            )
            for number in self._streams
        )
        sys.stdout, sys.stderr = self._texts

    def _is_as_made(self, text: TextIO) -> bool:
        """Whether the stream is unchanged: no stage has closed, replaced or reconfigured it."""
        return (
            text in self._texts
            and not text.closed
            and text.encoding == "utf-8"
            and text.errors == "backslashreplace"
            and text.line_buffering
        )

    def _become_a_copy(self) -> None:
        """In a forked child: write prints to the pipes, which the original process reads."""
        self._copied = True

    @property
    def copied(self) -> bool:
        """Whether this is a forked child of the process that runs the attempt."""
        return self._copied


class _Stream:
    """Standard output or standard error: its pipe, and its original destination."""

    def __init__(self, number: int, name: str) -> None:
        self.name = name
        self.lines = Lines()
        self.masked = MaskedBytes()
        self.through = _as_text(number)
        self.number = number
        self.pipe, self._write_end = os.pipe()
        self.connect()

    def connect(self) -> None:
        """Point the descriptor to the pipe, even if a stage has redirected it."""
        os.dup2(self._write_end, self.number)

    def pass_on(self, data: bytes) -> None:
        """Write to the worker's own output; ignore errors, so that a full disk there fails no stage."""
        if data:
            with contextlib.suppress(OSError):
                self.through.buffer.write(data)
                self.through.buffer.flush()


class _Python(io.FileIO):
    """The raw file below `sys.stdout`; it has a real `fileno`, which `subprocess` and others need."""

    def __init__(self, number: int, write: Callable[[int, ReadableBuffer], int]) -> None:
        super().__init__(number, "w", closefd=False)
        self._write = write

    def write(self, data: ReadableBuffer, /) -> int:
        return self._write(self.fileno(), data)


def _as_text(number: int) -> io.TextIOWrapper:
    """Open a duplicate of a descriptor as a text file; `os.devnull` if the descriptor is closed."""
    try:
        copy = os.dup(number)
    except OSError:
        copy = os.open(os.devnull, os.O_WRONLY)
    return io.TextIOWrapper(
        open(copy, "wb"),  # noqa: PTH123 - for as long as the process runs
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def _send_elsewhere(worker_log: TextIO) -> None:
    """Redirect the existing log handlers and faulthandler to the worker's log, past the capture."""
    ours = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            if isinstance(handler, logging.StreamHandler) and handler.stream in ours:
                handler.setStream(worker_log)
    faulthandler.enable(worker_log)


_installed: Streams | None = None


def install() -> None:
    """Start capturing the output of this process; idempotent."""
    global _installed
    _installed = _installed or Streams()


def installed() -> Streams | None:
    """Return this process's streams; None if capture is not installed."""
    return _installed
