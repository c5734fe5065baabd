"""Discover pipelines by importing the modules that the settings name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.authoring.errors import OrchestratorError
from orchestrator.authoring.pipeline import Pipeline, pipelines
from orchestrator.code import keep_source
from orchestrator.lifecycle.errors import BrokenModule, NameTaken, UnknownPipeline
from orchestrator.settings import SHIPPED

#: Packages that a user's folder must not shadow.
RESERVED = ("orchestrator", "workers")
#: The orchestrator's package: errors raised in it are reported at the user's line that led there.
HERE = Path(__file__).parents[1]
#: The folder that contains the packages `orchestrator`, `workers` and `pipelines`.
OURS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Catalogue:
    """The pipelines of the imported modules, and the errors of modules that could not be imported."""

    pipelines: tuple[Pipeline[..., Any], ...]
    broken: tuple[BrokenModule, ...]

    def find(self, name: str) -> Pipeline[..., Any]:
        """Return the pipeline of that name; raises UnknownPipeline with a near match, or BrokenModule."""
        found = [pipeline for pipeline in self.pipelines if pipeline.name == name]
        if len(found) > 1:
            modules = " and ".join(pipeline.module for pipeline in found)
            raise UnknownPipeline(f"the name '{name}' is taken twice, by {modules}; rename one of them")
        if found:
            return found[0]
        if self.broken:
            raise self.broken[0]
        names = [pipeline.name for pipeline in self.pipelines]
        near = get_close_matches(name, names, 1)
        suggestion = f" Did you mean '{near[0]}'?" if near else ""
        raise UnknownPipeline(
            f"there is no pipeline '{name}'.{suggestion} `orchestrator pipelines` lists all {len(names)}."
        )


def load_catalogue(modules: Iterable[str]) -> Catalogue:
    """Import the modules and, for packages, all modules inside them.

    The working folder comes first on `sys.path`. Raises NameTaken if it would shadow the orchestrator's own
    packages.
    """
    here = Path.cwd()
    check_names(here, modules := tuple(modules))
    prefer_working_folder()
    broken: list[BrokenModule] = []
    loaded: set[str] = set()
    for name in modules:
        for each in _within(name, broken):
            loaded.add(each)
    found = sorted(
        (pipeline for pipeline in pipelines.values() if pipeline.module in loaded), key=lambda each: each.name
    )
    return Catalogue(tuple(found), tuple(broken))


def prefer_working_folder() -> None:
    """Have modules of the working folder imported before any others."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def in_place_of_shipped(here: Path) -> Path | None:
    """Return the user's own package `pipelines` in `here`, which replaces the shipped one; None if absent."""
    own = here / SHIPPED / "__init__.py"
    return own.parent if own.exists() and own.parent.resolve() != OURS / SHIPPED else None


def check_names(here: Path, modules: Iterable[str]) -> None:
    """Raise NameTaken if the import of our package or the user's of the same name would be ambiguous."""
    for name in RESERVED:
        found = PathFinder.find_spec(name, [str(here)])
        place = found.origin if found else None  # None for a namespace package, which shadows nothing
        if place is not None and OURS not in Path(place).resolve().parents:
            raise NameTaken(
                f"{place} has the name of the orchestrator's own package '{name}': workers that are started "
                "here would import it instead",
                hint=f"rename it, or start from a folder without a '{name}' of its own",
            )
    own = here / SHIPPED
    if not any(name.partition(".")[0] == SHIPPED for name in modules) or own.resolve() == OURS / SHIPPED:
        return
    if any(own.glob("*.py")) and not (own / "__init__.py").exists():
        raise NameTaken(
            f"{own} has no __init__.py: sometimes it would be imported, sometimes the package that ships",
            hint="add an __init__.py, and it is taken instead of the pipelines that ship; or rename it, "
            "and set ORCHESTRATOR_PIPELINES to its name",
        )


def _within(name: str, broken: list[BrokenModule]) -> Iterator[str]:
    module = _import(name, broken)
    keep_source(name)
    if module is None:
        return
    yield name
    for each in pkgutil.iter_modules(getattr(module, "__path__", ())):
        yield from _within(f"{name}.{each.name}", broken)


def _import(name: str, broken: list[BrokenModule]) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except OrchestratorError as error:
        broken.append(_told(name, error, f"{type(error).__name__}: {error}"))
    except ModuleNotFoundError as error:
        if error.name == name or name.startswith(f"{error.name}."):
            text = f"there is no module '{name}', named in ORCHESTRATOR_PIPELINES; is it on the Python path?"
            if name.endswith(".py"):
                text = f"ORCHESTRATOR_PIPELINES names modules, not files: write '{name.removesuffix('.py')}'"
            broken.append(BrokenModule(text))
        else:
            broken.append(_told(name, error, str(error)))
    except Exception as error:  # noqa: BLE001 - any error of a user's module is reported
        broken.append(_told(name, error, f"{type(error).__name__}: {error}"))
    return None


def _told(name: str, error: BaseException, reason: str) -> BrokenModule:
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}"
    else:
        lines = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
        theirs = [line for line in lines if "importlib" not in line[0] and HERE not in Path(line[0]).parents]
        where = "{}:{}".format(*theirs[-1]) if theirs else name
    told = BrokenModule(f"module '{name}' cannot be imported: {where}: {reason}")
    told.__cause__ = error
    return told
