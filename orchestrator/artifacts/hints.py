"""Inspects annotations: wrappers, aliases, unions, names."""

from __future__ import annotations

import types
import typing
from typing import Annotated, ForwardRef, Literal, NotRequired, Required, TypeVar, Union, get_args, get_origin

import typing_extensions

_WRAPPERS = {Annotated, Required, NotRequired, typing.Final, typing.ClassVar, typing_extensions.ReadOnly}
_ALIASES = (
    typing_extensions.TypeAliasType,
    getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType),
)
_JSON_TYPES = (None, type(None), bool, int, float, str, list, dict, object, typing.Any)


def unwrapped(hint: object) -> object:
    """The annotation without `Annotated`, `Required` and the like, and without `NewType`."""
    while True:
        if get_origin(hint) in _WRAPPERS:
            hint = get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        else:
            return hint


def is_alias(hint: object) -> bool:
    """Whether this is a `type X = …` alias."""
    return isinstance(hint, _ALIASES)


def is_forward_reference(hint: object) -> bool:
    """Whether this is the name of an annotation that has not been resolved."""
    return isinstance(hint, (ForwardRef, str))


def union_members(hint: object) -> tuple[object, ...] | None:
    """The members of a union, None for anything else."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else None


def name_of(hint: object, *, full: bool = False) -> str:
    """The annotation as a person would write it; `full` adds the modules."""
    hint = unwrapped(hint)
    if hint is None or hint is type(None):
        return "None"
    if isinstance(hint, TypeVar) or is_alias(hint):
        return str(hint.__name__)  # type: ignore[attr-defined]
    if isinstance(hint, ForwardRef):
        return hint.__forward_arg__
    if (union := union_members(hint)) is not None:
        return " | ".join(name_of(arm, full=full) for arm in union)
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(repr, get_args(hint)))}]"
    origin = get_origin(hint)
    if origin is not None:
        inner = ", ".join("..." if arg is ... else name_of(arg, full=full) for arg in get_args(hint))
        return f"{name_of(origin, full=full)}[{inner}]"
    if isinstance(hint, type):
        module = f"{hint.__module__}." if full and hint.__module__ != "builtins" else ""
        return f"{module}{hint.__qualname__}"
    return str(hint).removeprefix("typing.")


def base_names(cls: type) -> set[str]:
    """`package.Name` of a class and all its bases: a library's types are known without importing it."""
    return {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in cls.__mro__}


def is_json(hint: object, seen: tuple[object, ...] = ()) -> bool:
    """Whether an annotation is made of JSON's own types only (also recursively)."""
    hint = unwrapped(hint)
    if is_forward_reference(hint) or any(hint is known for known in _JSON_TYPES):
        return True
    if is_alias(hint):
        return hint in seen or is_json(hint.__value__, (*seen, hint))  # type: ignore[attr-defined]
    if (union := union_members(hint)) is not None:
        return all(is_json(arm, seen) for arm in union)
    args = get_args(hint)
    if get_origin(hint) is dict:
        return args[0] is str and is_json(args[1], seen)
    return get_origin(hint) is list and is_json(args[0], seen)
