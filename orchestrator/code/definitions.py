"""Parses a module's source into definitions: the statements that bind each name, and what they use."""

from __future__ import annotations

import ast
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from orchestrator.code.modules import Source

#: A name as it is written: `helpers.factor` is ("helpers", "factor").
Chain = tuple[str, ...]

_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SCOPES = (*_DEFINING, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Imported:
    """What an import binds a name to: a module, or a member of one."""

    module: str
    member: str | None = None
    loads: str = ""  #: what `import a.b` loads beside `a`, which is what it binds


@dataclass(frozen=True)
class Uses:
    """What statements use, and a digest of them that comments and layout do not change."""

    digest: str
    chains: frozenset[Chain]
    imports: dict[str, list[Imported]]  #: made inside
    modules: frozenset[str]  #: named by a string, for `import_module`


@dataclass
class Definitions:
    """The names that a module defines."""

    source: Source
    bound: dict[str, list[ast.stmt]] = field(default_factory=lambda: defaultdict(list))
    imports: dict[str, list[Imported]] = field(default_factory=lambda: defaultdict(list))
    stars: list[str] = field(default_factory=list)  #: modules of which everything is imported
    effects: list[ast.stmt] = field(default_factory=list)  #: what loading does beside defining names
    _uses: dict[str, Uses] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source) -> Definitions:
        """Read a module; raises SyntaxError."""
        made = cls(source)
        made._read(ast.parse(source.text).body)
        return made

    def at_line(self, line: int) -> str | None:
        """The name that the statement in this line defines."""
        for name, statements in self.bound.items():
            for each in statements:
                decorators = getattr(each, "decorator_list", ())
                if min([each.lineno, *(one.lineno for one in decorators)]) <= line <= (each.end_lineno or 0):
                    return name
        return None

    def uses(self, name: str) -> Uses:
        """What the definition of a name uses; without a name, what the effects of loading use."""
        if name not in self._uses:
            self._uses[name] = self._uses_of(self.bound[name] if name else self.effects)
        return self._uses[name]

    def _uses_of(self, statements: Iterable[ast.stmt]) -> Uses:
        digest = sha256()
        chains, modules = set[Chain](), set[str]()
        imports: dict[str, list[Imported]] = defaultdict(list)
        for statement in statements:
            for part in _canonical(statement, self._is_ours):
                digest.update(part.encode(errors="backslashreplace"))
            chains |= set(self._chains_of(statement))
            for node in ast.walk(statement):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    for name, imported in imports_of(node, self.source):
                        imports[name].append(imported)
                elif isinstance(node, ast.Call) and (module := _imported_by_name(node)):
                    modules.add(module)
        return Uses(digest.hexdigest()[:16], frozenset(chains), dict(imports), frozenset(modules))

    def _chains_of(self, statement: ast.stmt) -> Iterator[Chain]:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _chains_in(statement)
            return
        own = [each for each in statement.decorator_list if not self._is_ours(each)]
        for outside in (*own, statement.args, statement.returns):
            yield from _chains_in(outside)
        local = _locals_of(statement)
        for inside in statement.body:
            yield from (chain for chain in _chains_in(inside) if chain[0] not in local)

    def _is_ours(self, decorator: ast.expr) -> bool:
        """Whether it is `@stage` or `@pipeline`: their options are policy, not code."""
        chain = _chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        bound = self.imports.get(chain[0], []) if chain else []
        return any(each.module.partition(".")[0] == "orchestrator" for each in bound)

    def _read(self, statements: Iterable[ast.stmt]) -> None:
        for each in statements:
            if isinstance(each, ast.Import | ast.ImportFrom):
                self._import(each)
            elif isinstance(each, ast.If) and _names_in(each.test) & {"TYPE_CHECKING"}:
                self._read([*each.body, *each.orelse])
            elif isinstance(each, ast.If) and _is_main_guard(each.test):
                self._read(each.orelse)
            else:
                self._define(each)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for name, imported in imports_of(statement, self.source):
            if name == "*":
                self.stars.append(imported.module)
            else:
                self.imports[name].append(imported)

    def _define(self, statement: ast.stmt) -> None:
        """Put a statement under every name that it defines or alters; under none, it is an effect."""
        names, effect = set[str](), False
        for each in _statements_in(statement):
            if isinstance(each, ast.Import | ast.ImportFrom):
                self._import(each)
                names |= {name for name, _ in imports_of(each, self.source)}
            elif isinstance(each, _DEFINING):
                names.add(each.name)
            elif targets := _targets(each):
                altered = {chain[0] for target in targets for chain in _altered(target)}
                effect = effect or bool(altered & self.imports.keys())
                names |= altered
            elif isinstance(each, ast.Expr) and not isinstance(each.value, ast.Constant):
                owner = _method_of(each.value)
                if owner in self.bound:
                    names.add(owner)
                else:
                    effect = True
            elif type(each).__name__ == "TypeAlias":
                names |= {chain[0] for chain in _altered(each.name)}  # type: ignore[attr-defined]
        if not isinstance(statement, _DEFINING):
            names |= {node.target.id for node in ast.walk(statement) if isinstance(node, ast.NamedExpr)}
        for name in names:
            self.bound[name].append(statement)
        if effect:
            self.effects.append(statement)


def imports_of(statement: ast.Import | ast.ImportFrom, source: Source) -> Iterator[tuple[str, Imported]]:
    """The names that an import binds, and to what; `*` for all of a module's."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname:
                yield alias.asname, Imported(alias.name)
            else:
                top = alias.name.partition(".")[0]
                yield top, Imported(top, loads=alias.name)
        return
    module = source.absolute(statement.level, statement.module)
    for alias in statement.names:
        yield alias.asname or alias.name, Imported(module, None if alias.name == "*" else alias.name)


def _canonical(value: object, is_left_out: Callable[[ast.expr], bool]) -> Iterator[str]:
    """A syntax tree as text that is the same in each version of Python; some decorators are left out."""
    if isinstance(value, list):
        yield "["
        for each in value:
            yield from _canonical(each, is_left_out)
        yield "]"
    elif isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, part in ast.iter_fields(value):
            if name == "decorator_list":
                part = [each for each in part if not is_left_out(each)]
            # What is empty is left out: each Python adds fields that older ones do not have
            if part is not None and part != [] and name not in ("ctx", "kind", "type_comment"):
                yield f" {name}="
                yield from _canonical(part, is_left_out)
        yield ")"
    else:
        yield repr(value)


def _chains_in(node: ast.AST | None) -> Iterator[Chain]:
    """The names that are read somewhere in a syntax tree; those of annotations in quotes, too."""
    stack: list[ast.AST] = [node] if node is not None else []
    while stack:
        each = stack.pop()
        chain = _chain(each)
        if chain and isinstance(each, ast.Name | ast.Attribute) and isinstance(each.ctx, ast.Load):
            yield chain
            continue
        stack.extend(ast.iter_child_nodes(each))
        for annotation in (getattr(each, "annotation", None), getattr(each, "returns", None)):
            if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
                with contextlib.suppress(SyntaxError):
                    stack.append(ast.parse(annotation.value, mode="eval"))


def _imported_by_name(call: ast.Call) -> str | None:
    """The module that `importlib.import_module("…")` imports."""
    called, first = _chain(call.func), call.args[0] if call.args else None
    if called and called[-1] in ("import_module", "__import__") and isinstance(first, ast.Constant):
        return str(first.value)
    return None


def _chain(node: ast.AST) -> Chain | None:
    """`a.b.c` as names, if it begins with one."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def _names_in(node: ast.AST) -> set[str]:
    return {chain[-1] for each in ast.walk(node) if (chain := _chain(each))}


def _is_main_guard(test: ast.expr) -> bool:
    return "__name__" in _names_in(test) and any(
        isinstance(each, ast.Constant) and each.value == "__main__" for each in ast.walk(test)
    )


def _statements_in(statement: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and those in it that run when the module is loaded."""
    yield statement
    if isinstance(statement, _DEFINING):
        return
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            yield from _statements_in(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            for each in child.body:
                yield from _statements_in(each)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    match statement:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return targets
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            return [target]
        case ast.With(items=items):
            return [item.optional_vars for item in items if item.optional_vars]
    return []


def _altered(target: ast.expr) -> Iterator[Chain]:
    """The names that an assignment to a target binds or alters: `TABLE["a"] = 1` alters TABLE."""
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for each in parts:
                yield from _altered(each)
        case ast.Starred(value=value) | ast.Subscript(value=value) | ast.Attribute(value=value):
            yield from _altered(value)
        case ast.Name(id=name):
            yield (name,)


def _method_of(call: ast.expr) -> str | None:
    """What `TABLE.append(…)` alters."""
    chain = _chain(call.func) if isinstance(call, ast.Call) else None
    return chain[0] if chain and len(chain) > 1 else None


def _locals_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The parameters and variables of a function that cannot be meant by a name outside of it."""
    arguments = function.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given = [*listed, arguments.vararg, arguments.kwarg]
    names = {each.arg for each in given if each}
    elsewhere: set[str] = set()
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Global):
            elsewhere |= set(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if not isinstance(node, _SCOPES):
            stack.extend(ast.iter_child_nodes(node))
    return names - elsewhere
