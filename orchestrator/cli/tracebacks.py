"""Tracebacks as the author of a stage wants them: without the frames through which it was called."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line \d+')
_RUNTIME = re.compile(r"[/\\]workers[/\\]runtime[/\\]\w+\.py$")


def without_runtime(trace: str) -> str:
    """The traceback with our own frames left out, unless nothing else is in it."""
    lines = list(_others(trace.splitlines()))
    return "\n".join(lines) if any(map(_FRAME.match, lines)) else trace


def _others(lines: list[str]) -> Iterator[str]:
    dropping = False
    for line in lines:
        frame = _FRAME.match(line)
        if frame:
            dropping = bool(_RUNTIME.search(frame["file"]))
        elif not line.startswith("    "):
            dropping = False
        if not dropping:
            yield line
