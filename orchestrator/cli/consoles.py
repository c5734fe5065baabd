"""The rich consoles that commands write to."""

from __future__ import annotations

import os
import sys
from functools import cache

from rich.console import Console

#: Columns of what goes to a file or a pipe, where nothing says how wide the reader's screen is.
WIDE = 160


@cache
def output() -> Console:
    """What a command is asked for, on stdout."""
    return _console(stderr=False)


@cache
def errors() -> Console:
    """What is said beside it, on stderr."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else WIDE
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
