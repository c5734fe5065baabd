"""How this program is called here, so that a command that is shown can be copied and run."""

from __future__ import annotations

import re
import shutil
import sys
from functools import cache
from pathlib import Path

NAME = "orchestrator"

#: Where messages of all rooms name one of the commands, as `orchestrator logs RUN`.
_CALL = re.compile(rf"(?<![\w/.-]){NAME} (?=[a-z])")


@cache
def program() -> str:
    """`orchestrator` where it is on PATH; else what it was started as, or `python -m orchestrator`."""
    started_as = Path(sys.argv[0])
    if shutil.which(NAME):
        return NAME
    if started_as.name == NAME and started_as.exists():
        here, there = Path.cwd(), started_as.absolute()
        return str(there.relative_to(here) if there.is_relative_to(here) else there)
    return f"{sys.executable} -m {NAME}"


def as_called(text: str) -> str:
    """The text with its commands as they can be called here."""
    return _CALL.sub(lambda _: f"{program()} ", text)


def first_command() -> str:
    """What to run first: a pipeline that ships, unless the pipelines are the user's own."""
    from orchestrator.lifecycle.discovery import in_place_of_shipped
    from orchestrator.settings import SHIPPED, settings

    ships = SHIPPED in settings().modules and in_place_of_shipped(Path.cwd()) is None
    return f"{NAME} run hello" if ships else f"{NAME} pipelines"
