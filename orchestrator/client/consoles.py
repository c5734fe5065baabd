"""The rich consoles that commands write to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from orchestrator.text import visible

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


class SafeConsole(Console):
    """Shows what came from a stage (values, prints, errors, names) as text: no terminal obeys it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything that is printed; what moves the cursor of a live display is ours."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment(visible(text), segment.style)


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else WIDE
    return SafeConsole(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
