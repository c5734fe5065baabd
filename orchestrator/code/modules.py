"""The user's own modules, and their source as it was when they were loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from orchestrator.authoring.stage import stages

_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: What pipelines share is as much a pipeline's code as its own module is; all else of ours is a library.
_OURS, _SHARED = frozenset({"orchestrator", "workers"}), "workers.training"


@dataclass(frozen=True)
class Source:
    """The text of a module."""

    module: str
    text: str
    package: bool  #: whether the module is a package, from which relative imports start

    @cached_property
    def asks_for_subclasses(self) -> bool:
        """Whether it may find classes by what they are derived from."""
        return "__subclasses__" in self.text

    def absolute(self, level: int, name: str | None) -> str:
        """The module that `from ...name import` means here."""
        if not level:
            return name or ""
        parts = self.module.split(".")
        above = parts[: len(parts) - level + self.package]
        return ".".join([*above, *([name] if name else [])])


def is_own(module: str) -> bool:
    """Whether a module is the user's.

    That is what lies outside of the folders for installed packages, what has a stage, and what was installed
    with that.
    """
    top = module.partition(".")[0]
    if top in _OURS:
        return module == _SHARED or module.startswith(f"{_SHARED}.")
    roots = {name.partition(".")[0] for name in stages}
    return top in roots or _lies_outside(top) or any(top in _installed_with(root) for root in roots)


def own_loaded() -> list[str]:
    """The user's modules that this process has imported."""
    return [name for name in list(sys.modules) if is_own(name)]


def source_of(module: str) -> Source | None:
    """The source of a module, as it was when it was loaded or first asked for; None if there is none.

    A module that is loaded again is read again.
    """
    spec = _spec_of(module)
    known = _sources.get(module)
    if known is None or known[0] is not spec:
        known = _sources[module] = (spec, _read(module, spec))
    return known[1]


def differs_on_disk(modules: Iterable[str]) -> bool:
    """Whether any of the modules would have other source, or come into being, if it were loaded now."""
    for module in modules:
        _, known = _sources.get(module, (None, None))
        now = _read(module, _find(module))
        if (now and now.text) != (known and known.text):
            return True
    return False


def keep_source(module: str) -> None:
    """Keep a module's source right after its import, or its failure: later, the file may have changed."""
    source_of(module)


def keep_sources() -> None:
    """Keep the source of all of the user's modules that were imported."""
    for module in own_loaded():
        keep_source(module)


_sources: dict[str, tuple[ModuleSpec | None, Source | None]] = {}
_found: dict[str, ModuleSpec | None] = {}


def _spec_of(module: str) -> ModuleSpec | None:
    loaded = sys.modules.get(module)
    if loaded is not None:
        return getattr(loaded, "__spec__", None)
    if module not in _found:
        _found[module] = _find(module)
    return _found[module]


def _find(module: str) -> ModuleSpec | None:
    """Where a module would be loaded from, without importing the packages that it is in."""
    parent, _, _ = module.rpartition(".")
    try:
        if not parent and module in sys.modules:
            return PathFinder.find_spec(module) or _spec_of(module)
        if not parent:
            return find_spec(module)
        above = _spec_of(parent)
        return above and PathFinder.find_spec(module, above.submodule_search_locations or ())
    except (ImportError, ValueError, AttributeError):
        return None


def _read(module: str, spec: ModuleSpec | None) -> Source | None:
    try:
        if spec is None:  # a script
            file = getattr(sys.modules.get(module), "__file__", None)
            return Source(module, Path(file).read_text("utf-8"), package=False) if file else None
        read = getattr(spec.loader, "get_source", None)
        text = read(spec.name) if read else None
    except (OSError, ImportError, SyntaxError, ValueError):
        return None
    return None if text is None else Source(module, text, spec.submodule_search_locations is not None)


@cache
def _lies_outside(top: str) -> bool:
    if top in sys.stdlib_module_names:
        return top == "__main__"
    folder = _folder_of(top)
    return top == "__main__" or (folder is not None and _INSTALLED.isdisjoint(folder.parts))


def _folder_of(top: str) -> Path | None:
    """The folder in which a top-level module lies; None if it is built in, or nowhere."""
    spec = _spec_of(top)
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    for place in places:
        if place and place not in ("built-in", "frozen", "namespace"):
            return Path(place).parent
    return None


@cache
def _installed_with(root: str) -> frozenset[str]:
    """The top-level modules that were installed with one that was."""
    folder = _folder_of(root)
    if folder is None or _INSTALLED.isdisjoint(folder.parts):
        return frozenset()
    found = list(distributions(path=[str(folder)]))
    for read in (_listed_modules, _recorded_modules):  # few have no list of names, and the record is long
        for each in found:
            if root in (tops := read(each)):
                return tops
    return frozenset()


def _listed_modules(distribution: Distribution) -> frozenset[str]:
    return frozenset((distribution.read_text("top_level.txt") or "").split())


def _recorded_modules(distribution: Distribution) -> frozenset[str]:
    files = (line.partition(",")[0] for line in (distribution.read_text("RECORD") or "").splitlines())
    return frozenset(file.partition("/")[0].removesuffix(".py") for file in files if file.endswith(".py"))
