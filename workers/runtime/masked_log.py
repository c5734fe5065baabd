"""Leaves passwords out of the worker's own log: of log records and tracebacks, and of what stages print."""

from __future__ import annotations

import logging
from logging import Logger

from celery import signals

from orchestrator.authoring.masking import mask_text

#: Bytes of an unfinished line that are waited with; what is longer goes on in pieces.
_LONGEST = 65_536
_AS_BYTES = ("utf-8", "surrogateescape")


class MaskedFormatter(logging.Formatter):
    """Formats as another formatter does, and masks what comes of it."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return mask_text(self._inner.format(record))


def mask_log() -> None:
    """Have Celery's loggers mask what they write, in all processes of the worker."""
    signals.after_setup_logger.connect(_mask_handlers, weak=False)
    signals.after_setup_task_logger.connect(_mask_handlers, weak=False)


def _mask_handlers(logger: Logger, **_: object) -> None:
    for handler in logger.handlers:
        if not isinstance(handler.formatter, MaskedFormatter):
            handler.setFormatter(MaskedFormatter(handler.formatter))


class MaskedBytes:
    """Masks what is written bit by bit, a line at a time: a password may come in two writes."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take what was written; returns what can be passed on, masked."""
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end and len(self._begun) + len(data) <= _LONGEST:
            self._begun += data
            return b""
        end = end or len(data)
        ready = bytes(self._begun) + data[:end]
        self._begun = bytearray(data[end:])
        return _masked(ready)

    def rest(self) -> bytes:
        """What has no end of line yet."""
        rest, self._begun = bytes(self._begun), bytearray()
        return _masked(rest)


def _masked(data: bytes) -> bytes:
    text = data.decode(*_AS_BYTES)
    masked = mask_text(text)
    return data if masked == text else masked.encode(*_AS_BYTES)
