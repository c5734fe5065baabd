"""Reads skops files: what they name is judged before anything is made, what was made before it is used."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

import numpy as np
from scipy import sparse
from skops.io._audit import Node, audit_tree, get_tree
from skops.io._protocol import PROTOCOL
from skops.io._utils import read_schema

from orchestrator.artifacts.codecs.arrays import check_indices
from orchestrator.artifacts.errors import UntrustedTypes
from orchestrator.artifacts.trust import Use, advice, is_trusted
from orchestrator.settings import settings

#: How skops uses the name of a node, by the node's class; any other one calls it.
_USES: Final = {
    "FunctionNode": Use.FUNCTION,
    "LossNode": Use.INSTANCE,
    "ObjectNode": Use.INSTANCE,
    "TreeNode": Use.INSTANCE,
    "TypeNode": Use.TYPE,
}
#: What a dictionary's keys may be made with: skops calls these with text of the file.
_KEY_TYPES: Final = ("builtins", "numpy")

#: Parameters of LightGBM that name files or other machines.
_PLACES: Final = (
    *(
        "config",
        "data",
        "data_filename",
        "forcedbins_filename",
        "forcedsplits_filename",
        "init_score_filename",
    ),
    *("initscore_filename", "input_model", "machine_list_file", "machine_list_filename", "machines"),
    *("model_input", "model_output", "output_model", "output_result", "parser_config_file", "valid"),
)

#: Where a search has the parameters that it sets.
_SEARCHED: Final = ("param_grid", "param_distributions")


#: What has no content of a file's own.
_NO_DATA: Final = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, np.ufunc)


class Named:
    """The content of a skops file as a tree of names, of which nothing is made yet."""

    def __init__(self, data: bytes, source: str) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema, context = read_schema(archive)
            if context.protocol != PROTOCOL:
                raise ValueError(f"it was written by another version of skops (protocol {context.protocol})")
            self._root: Node = get_tree(schema, context, trusted=None)
        self._unsafe = self._root.get_unsafe_set()
        self._check(source)

    @property
    def trusted(self) -> list[str]:
        """What is in the file beside that which skops trusts by itself."""
        return sorted(self._unsafe)

    def made(self) -> object:
        """The object."""
        audit_tree(self._root, trusted=self.trusted)
        return cast("object", self._root.construct())

    def _check(self, source: str) -> None:
        refused, explained = set[str](), set[str]()
        for node in _nodes(self._root):
            _check_keys(node)
            name = f"{node.module_name}.{node.class_name}"
            if name in self._unsafe:
                explained.add(name)
                if not is_trusted(node.module_name, node.class_name, _use_of(node)):
                    refused.add(name)
        refused |= self._unsafe - explained - set(settings().trusted_types)  # methods have longer names
        if refused:
            raise UntrustedTypes(
                f"{source} holds types that are not trusted: {', '.join(sorted(refused))}",
                hint=advice(refused),
            )


def find_outside(made: object) -> str | None:
    """What an estimator would do with files or machines of its own accord; None if nothing.

    Raises ValueError for arrays that point beyond themselves.
    """
    for part in _parts(made):
        if isinstance(part, sparse.sparray | sparse.spmatrix):
            check_indices(part)
        if (found := _outside(part)) is not None:
            return f"{type(part).__name__}.{found}"
    return None


def _outside(part: object) -> str | None:
    values = getattr(part, "__dict__", {})
    memory = values.get("memory")
    if memory is not None and not isinstance(memory, int | float):
        return f"memory={_short(memory)}, from where it would unpickle what it finds when it is fitted"
    for name in _SEARCHED:
        if (found := _set_by_search(values.get(name))) is not None:
            return f"{name}[{found!r}], which leads what it fits to other files or machines"
    package = type(part).__module__.partition(".")[0]
    if package == "sklearn" and isinstance(values.get("input"), str) and values["input"] == "filename":
        return "input='filename', so that it would read any file that its data name"
    if package == "lightgbm":
        others = values.get("_other_params")
        given = {**values, **others} if isinstance(others, dict) else values
        for name in _PLACES:
            if isinstance(value := given.get(name), str | os.PathLike) and value:
                return f"{name}={_short(value)}, which leads LightGBM to other files or machines"
    return None


def _set_by_search(grids: object) -> str | None:
    """The parameter that a search would set to what an estimator may not have from the beginning."""
    for grid in grids if isinstance(grids, list | tuple) else [grids]:
        for name, options in grid.items() if isinstance(grid, Mapping) else ():
            last = str(name).rpartition("__")[2]
            if last not in ("memory", "input", *_PLACES):
                continue
            if not isinstance(options, list | tuple | np.ndarray):
                return str(name)
            harmless = {str, int, float, type(None)} if last == "input" else {int, float, type(None)}
            if any(type(each) not in harmless or each == "filename" for each in options):
                return str(name)
    return None


def _short(value: object) -> str:
    return repr(value)[:100]


def _parts(made: object) -> Iterator[object]:
    """An object and all that it holds, each once."""
    seen: dict[int, object] = {}
    waiting = [made]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str | bytes | int | float | type(None)) or id(part) in seen:
            continue
        seen[id(part)] = part  # kept, so that no other object gets its id
        yield part
        waiting.extend(_inside(part))


def _inside(part: object) -> Iterable[object]:
    if isinstance(part, Mapping):
        yield from part.values()
    elif isinstance(part, list | tuple | set | frozenset):
        yield from part
    elif isinstance(part, np.ndarray):
        if part.dtype == object:
            yield from part.ravel()
    elif isinstance(part, partial):
        yield from (part.func, part.args, part.keywords)
    elif isinstance(part, MethodType):
        yield part.__self__
    if not isinstance(part, _NO_DATA):
        yield from getattr(part, "__dict__", {}).values()
        yield from (getattr(part, slot, None) for slot in _slots(type(part)))


def _slots(cls: type) -> list[str]:
    slots = (base.__dict__.get("__slots__", ()) for base in cls.__mro__)
    return [name for names in slots for name in ((names,) if isinstance(names, str) else names)]


def _nodes(root: Node) -> Iterator[Node]:
    """A node and all below it, each once: a file may use a part of itself in several places."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        for child in node.children.values():
            children: Iterable[Any] = (
                child.values() if isinstance(child, dict) else child if isinstance(child, list) else (child,)
            )
            waiting.extend(each for each in children if isinstance(each, Node))


def _use_of(node: Node) -> Use:
    """How skops uses the name of a node. What is bound has to be a function: a class would be called."""
    if type(node).__name__ == "PartialNode":
        bound = node.children.get("func")
        return Use.BINDING if type(bound).__name__ == "FunctionNode" else Use.MAKING
    return _USES.get(type(node).__name__, Use.MAKING)


def _check_keys(node: Node) -> None:
    types = node.children.get("key_types")
    if types is None:
        return
    kinds = types.children.get("content") if isinstance(types, Node) else None
    if not isinstance(kinds, list) or not all(
        type(kind).__name__ == "TypeNode" and kind.module_name in _KEY_TYPES for kind in kinds
    ):
        raise ValueError("the keys of a dictionary are of odd types")
