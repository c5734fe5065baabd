"""Turns SIGTERM and SIGHUP into an exception, so that a program stops its parts when it is told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from orchestrator.stack.errors import Terminated

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_Handler = Callable[[int, FrameType | None], object] | int | None


class TerminationSignals:
    """Raises Terminated in the main thread at a signal that would otherwise end the program silently.

    Signals that the program handles or ignores (nohup) are left to it.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, _Handler] = {}

    def install(self) -> None:
        """Handle the signals; only the main thread can, elsewhere nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._before[number] = signal.signal(number, _raise_terminated)

    def restore(self) -> None:
        """Put back the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


def _raise_terminated(number: int, _: FrameType | None) -> None:
    raise Terminated(number)
