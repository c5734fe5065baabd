"""How this program is called here, so that a command that is shown can be copied and run."""

from __future__ import annotations

import re
import shutil
import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
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


def first_command(packages: tuple[str, ...]) -> str:
    """What to run first with the pipelines of these packages."""
    return f"{NAME} run hello" if "pipelines" in packages and _ship() else f"{NAME} pipelines"


def _ship() -> bool:
    """Whether `pipelines` is the package that ships, and not a folder of the user's own."""
    found = PathFinder.find_spec("pipelines", [str(Path.cwd())]) or find_spec("pipelines")
    shipped = Path(__file__).resolve().parents[2] / "pipelines" / "__init__.py"
    return found is not None and found.origin is not None and Path(found.origin).resolve() == shipped
