"""How the command line is called here, for messages that name a command."""

from __future__ import annotations

import re
import shutil
import sys
from functools import cache
from pathlib import Path

NAME = "orchestrator"

#: A command in a message of any package, as in `orchestrator logs RUN`.
_COMMAND = re.compile(rf"(?<![\w/.-]){NAME} (?=[a-z])")


@cache
def program(folder: Path | None = None) -> str:
    """`orchestrator` where it is on PATH; else what it was started as, or `python -m orchestrator`.

    A path is relative where it leads down from `folder`, which is the current one by default.
    """
    started_as = Path(sys.argv[0])
    if shutil.which(NAME):
        return NAME
    if started_as.name == NAME and started_as.exists():
        here, there = folder or Path.cwd(), started_as.absolute()
        return str(there.relative_to(here) if there.is_relative_to(here) else there)
    return f"{sys.executable} -m {NAME}"


def with_program_name(text: str, folder: Path | None = None) -> str:
    """The text, in which each `orchestrator COMMAND` is written as it can be run here, or in `folder`."""
    return _COMMAND.sub(lambda _: f"{program(folder)} ", text)
