"""Finds the user's code that a stage's result depends on: every definition that its function reaches.

A name is followed through imports to its definition, in all of the user's modules; where it is ambiguous, all
candidates are reached. All of a module is reached where the module is used as a value, or looks up its own
names, as in `globals()[name]`. What was registered while modules were loaded is found in memory, in the
container that holds it. Not found is what a name made at run time leads to, as in
`import_module(f"plugins.{name}")`, and what is in compiled modules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeAlias, cast

from orchestrator.authoring.functions import underlying
from orchestrator.authoring.stage import Stage
from orchestrator.authoring.unique_names import made_at
from orchestrator.code.definitions import Chain, Definitions, Imported
from orchestrator.code.modules import Source, is_own, source_of

#: A digest of each definition, by `<module>.<name>`; a library's version, by its name.
Code: TypeAlias = Mapping[str, str]

#: Stand for all names of a module, and for the effects of loading it beside defining names.
_ALL, _EFFECTS = "*", ""
#: Calls that can find any name of their module.
_LOOKUPS = frozenset({("globals",), ("eval",), ("exec",), ("sys", "modules")})
#: Ends the digest of what is only found in memory: another process may hold more or less of it.
HELD = " held"
_CONTAINERS = (dict, list, tuple, set, frozenset)
_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


@dataclass(frozen=True)
class Reached:
    """The code that a stage reaches."""

    definitions: Code
    modules: frozenset[str]  #: of the user's
    libraries: frozenset[str]  #: the others, by the name that they are imported by

    def with_versions(self) -> Code:
        """The definitions, and the versions of the libraries."""
        return {**self.definitions, **{name: _version(name) for name in sorted(self.libraries)}}


def reached_by(stage: Stage[..., Any]) -> Reached:
    """All code of the user's that a stage reaches, its own function included."""
    walk = _Walk()
    walk.start(stage)
    place = made_at(stage.name)
    if place is not None:
        walk.start_at(*place)
    walk.finish()
    written = walk.digests.copy()
    walk.finish_in_memory()
    held = {name: f"{digest}{HELD}" for name, digest in walk.digests.items() if name not in written}
    definitions = dict(sorted({**written, **held}.items()))
    return Reached(definitions, frozenset(walk.modules), frozenset(walk.libraries))


@dataclass
class _Walk:
    digests: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)
    _open: list[tuple[str, str]] = field(default_factory=list)
    _names: list[tuple[str, str]] = field(default_factory=list)  #: whose values were not visited yet
    _values: list[object] = field(default_factory=list)  #: not visited yet either
    _seen: set[tuple[str, Chain]] = field(default_factory=set)
    _started: set[int] = field(default_factory=set)

    def start(self, value: object) -> None:
        """Reach a function or class as it is in memory: where it is written, and what it holds."""
        if isinstance(value, Stage):
            value = value.function
        if isinstance(value, partial):
            for held in (*value.args, *value.keywords.values()):
                self.start(held)
        if isinstance(value, ModuleType):
            self._module(value.__name__, ())
        elif isinstance(value, type):
            self._member(value.__module__, value.__qualname__.partition(".")[0], ())
        elif callable(value) and isinstance(function := underlying(value), FunctionType):
            self._function(function)

    def start_at(self, module: str, line: int) -> None:
        """Reach what a line of a module defines: `double = make(2)`."""
        definitions = _definitions(module) if is_own(module) else None
        name = definitions.at_line(line) if definitions else None
        if name is not None:
            self._reach(module, name)

    def finish(self) -> None:
        """Follow all that was reached."""
        while self._open:
            module, name = self._open.pop()
            definitions = _definitions(module)
            if definitions is None:
                continue
            if name == _ALL:
                for each in [*definitions.bound, *definitions.imports]:
                    self._member(module, each, ())
            else:
                self._follow(module, name, definitions)

    def finish_in_memory(self) -> None:
        """Follow what the values of all that was reached hold: functions in a registry, for example."""
        while self._names or self._values:
            loaded = [(sys.modules[module], name) for module, name in self._names if module in sys.modules]
            waiting = [*self._values, *(vars(module).get(name) for module, name in loaded)]
            self._names.clear()
            self._values.clear()
            for each in waiting:
                self._visit_value(each)
            self.finish()

    def _visit_value(self, value: object) -> None:
        kind = type(value)
        if kind in _ATOMS or id(value) in self._started:
            return
        if issubclass(kind, type):
            self._started.add(id(value))
            self._visit_class(cast("type", value))
        elif issubclass(kind, _CONTAINERS):
            self._started.add(id(value))
            held = value.values() if isinstance(value, dict) else cast("Iterable[object]", value)
            for each in list(held):
                self._visit_value(each)
        elif issubclass(kind, FunctionType | partial | Stage):
            self.start(value)
        elif is_own(kind.__module__):
            self._started.add(id(value))
            self._visit_value(kind)
            self._visit_value(getattr(value, "__dict__", None))

    def _visit_class(self, value: type) -> None:
        if not is_own(value.__module__):
            return
        self.start(value)
        for each in list(vars(value).values()):
            if issubclass(type(each), _CONTAINERS):
                self._visit_value(each)
        if any(found.asks_for_subclasses for found in map(source_of, self.modules) if found):
            for each in type.__subclasses__(value):
                self._visit_value(each)

    def _function(self, function: FunctionType) -> None:
        if id(function) in self._started:
            return
        self._started.add(id(function))
        module, top = function.__module__ or "", function.__qualname__.partition(".")[0]
        definitions = _definitions(module) if is_own(module) else None
        if definitions is not None and top not in definitions.bound:
            top = definitions.at_line(function.__code__.co_firstlineno) or top
        if definitions is not None and top in definitions.bound:
            self._reach(module, top)
        elif is_own(module):
            self.digests[f"{module}.{top}"] = _short_digest(repr(list(_bytecode_of(function.__code__))))
        for cell in function.__closure__ or ():
            try:
                self.start(cell.cell_contents)
                self._values.append(cell.cell_contents)
            except ValueError:  # empty
                continue
        self.start(getattr(function, "__wrapped__", None))

    def _follow(self, module: str, name: str, definitions: Definitions) -> None:
        uses = definitions.uses(name)
        outside = sorted(
            found for chain in uses.chains for found in self._resolve(definitions, chain, uses.imports)
        )
        self._load(each for many in uses.imports.values() for one in many for each in _loaded_by(one))
        for named in uses.modules:
            self._module(named, ())
        if not _LOOKUPS.isdisjoint(chain[:2] for chain in uses.chains):
            self._module(module, ())
        self.digests[f"{module}.{name}" if name else module] = _short_digest(f"{uses.digest} {outside}")

    def _resolve(
        self, definitions: Definitions, chain: Chain, inside: Mapping[str, list[Imported]]
    ) -> Iterator[str]:
        """Reach what a name refers to in a module; yields what imports bind it to.

        Bindings to libraries are part of a digest, too: on another machine it may be the user's code.
        """
        head, *rest = chain
        found = [*inside.get(head, ()), *definitions.imports.get(head, ())]
        yield from (f"{head}={each.module}:{each.member}" for each in found)
        if head in definitions.bound:
            self._reach(definitions.source.module, head)
        elif not found:
            found = [Imported(star, head) for star in definitions.stars if self._has(star, head)]
        for each in found:
            if not is_own(each.module):
                self._library(each.module)
            elif each.member is None:
                self._module(each.module, tuple(rest))
            else:
                self._member(each.module, each.member, tuple(rest))

    def _has(self, module: str, name: str) -> bool:
        """Whether `from module import *` binds a name; False for libraries, which are not read."""
        if not is_own(module):
            self._library(module)
            return False
        definitions = _definitions(module)
        return definitions is not None and (name in definitions.bound or name in definitions.imports)

    def _reach(self, module: str, name: str) -> None:
        if (module, (name,)) not in self._seen:
            self._seen.add((module, (name,)))
            self._open.append((module, name))
            self._names.append((module, name))
            self._load([module])

    def _module(self, module: str, rest: Chain) -> None:
        if not is_own(module):
            self._library(module)
            return
        self._load([module])
        if rest:
            self._member(module, rest[0], rest[1:])
        else:
            self._reach(module, _ALL)

    def _member(self, module: str, name: str, rest: Chain) -> None:
        definitions = _definitions(module) if is_own(module) else None
        if definitions is None or (module, (name, *rest, "")) in self._seen:
            return  # modules may import from one another in a circle
        self._seen.add((module, (name, *rest, "")))
        self._load([module])
        stars = any(self._has(star, name) for star in definitions.stars)
        if name in definitions.bound or name in definitions.imports or stars:
            list(self._resolve(definitions, (name, *rest), {}))
        elif source_of(f"{module}.{name}"):
            self._module(f"{module}.{name}", rest)
        elif not name.startswith("__"):
            self._reach(module, _ALL)  # made at run time, by any code of the module

    def _library(self, module: str) -> None:
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names:
            self.libraries.add(top)

    def _load(self, modules: Iterable[str]) -> None:
        """Reach the effects of loading modules, and the modules that they load."""
        waiting = [*modules]
        while waiting:
            module = waiting.pop()
            if not module or module in self.modules or not is_own(module):
                continue
            definitions = _definitions(module)
            if definitions is None:
                continue
            self.modules.add(module)
            if definitions.effects:
                self._open.append((module, _EFFECTS))
            waiting += [module.rpartition(".")[0], *definitions.stars]
            imported = [one for many in definitions.imports.values() for one in many]
            waiting += [each for one in imported for each in _loaded_by(one)]


def _loaded_by(imported: Imported) -> Iterator[str]:
    yield imported.loads or imported.module
    if imported.member:
        yield f"{imported.module}.{imported.member}"


_parsed: dict[str, tuple[Source | None, Definitions | None]] = {}


def _definitions(module: str) -> Definitions | None:
    source = source_of(module)
    known = _parsed.get(module)
    if known is None or known[0] is not source:
        try:
            read = Definitions.of(source) if source else None
        except SyntaxError:
            read = None
        known = _parsed[module] = (source, read)
    return known[1]


def _bytecode_of(code: CodeType) -> Iterator[object]:
    """The bytecode of a function without source, such as one typed at a prompt."""
    yield code.co_code
    yield code.co_names
    for each in code.co_consts:
        yield list(_bytecode_of(each)) if isinstance(each, CodeType) else each


def _version(library: str) -> str:
    """The installed version of what is imported by a name; empty where it was not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ", ".join(version(each) for each in sorted(set(packages_distributions().get(library, ()))))


def _short_digest(text: str) -> str:
    return sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]
