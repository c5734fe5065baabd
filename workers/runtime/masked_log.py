"""Mask passwords in the worker's own log: in log records, in tracebacks, and in the output of stages."""

from __future__ import annotations

import logging
from logging import Logger

from celery import signals

from orchestrator.authoring.masking import mask_text

#: Maximum bytes of an unfinished line that are buffered; longer lines are passed on in pieces.
_LONGEST = 65_536
_AS_BYTES = ("utf-8", "surrogateescape")


class MaskedFormatter(logging.Formatter):
    """Wraps another formatter and masks its result."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return mask_text(self._inner.format(record))


def mask_log() -> None:
    """Install the masking formatter in Celery's loggers, in all processes of the worker."""
    signals.after_setup_logger.connect(_mask_handlers, weak=False)
    signals.after_setup_task_logger.connect(_mask_handlers, weak=False)


def _mask_handlers(logger: Logger, **_: object) -> None:
    for handler in logger.handlers:
        if not isinstance(handler.formatter, MaskedFormatter):
            handler.setFormatter(MaskedFormatter(handler.formatter))


class MaskedBytes:
    """Masks a byte stream line by line, since a password may be split over two writes."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Consume written bytes; return the masked bytes that are ready to pass on."""
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end and len(self._begun) + len(data) <= _LONGEST:
            self._begun += data
            return b""
        end = end or len(data)
        ready = bytes(self._begun) + data[:end]
        self._begun = bytearray(data[end:])
        return _masked(ready)

    def rest(self) -> bytes:
        """Consume and return the unfinished line, masked."""
        rest, self._begun = bytes(self._begun), bytearray()
        return _masked(rest)


def _masked(data: bytes) -> bytes:
    text = data.decode(*_AS_BYTES)
    masked = mask_text(text)
    return data if masked == text else masked.encode(*_AS_BYTES)
