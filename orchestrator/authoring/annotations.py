"""What stages' annotations say, and whether one stage's output fits another's input."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from orchestrator.authoring.table import is_table, is_union, without_annotated


@cache
def hints_of(function: Callable[..., object]) -> Mapping[str, object]:
    """The function's annotations, evaluated; `return` among them. Raises NameError for an unknown name.

    Of `Annotated` only a `Table[…]` is left, which takes the place of what it annotates.
    """
    plain = get_type_hints(function, include_extras=False)
    full = get_type_hints(function, include_extras=True)
    return {name: without_annotated(full[name], hint) for name, hint in plain.items()}


def fields_of(hint: object) -> Mapping[str, object] | None:
    """Field names and annotations of a NamedTuple, dataclass, pydantic model or TypedDict; else None."""
    from typing_extensions import is_typeddict  # late: `import orchestrator` needs the standard library only

    if not isinstance(hint, type):
        return None
    named_tuple = issubclass(hint, tuple) and hasattr(hint, "_fields")
    pydantic_model = hasattr(hint, "model_fields") and hasattr(hint, "model_validate")
    if named_tuple or pydantic_model or dataclasses.is_dataclass(hint) or is_typeddict(hint):
        found = get_type_hints(hint)
        if named_tuple:
            return {name: found[name] for name in hint._fields}  # type: ignore[attr-defined]
        if pydantic_model:
            return {name: found[name] for name in hint.model_fields}  # type: ignore[attr-defined]
        if dataclasses.is_dataclass(hint):
            return {each.name: found[each.name] for each in dataclasses.fields(hint)}
        return found
    return None


def items_of(hint: object) -> tuple[object, ...] | None:
    """The annotations of a tuple of fixed length, plain or named; else None."""
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = fields_of(hint)
        return None if fields is None else tuple(fields.values())
    if get_origin(hint) is tuple and Ellipsis not in get_args(hint):
        return get_args(hint)
    return None


def part_of(value: object, path: Sequence[str | int]) -> object:
    """The part of a value that fields and positions lead to."""
    for key in path:
        named = isinstance(key, str) and not isinstance(value, Mapping)
        value = getattr(value, str(key)) if named else value[key]  # type: ignore[index]
    return value


def has_elements(hint: object) -> bool:
    """Whether a value of this annotation can be iterated over as a list."""
    kind = get_origin(hint) or hint
    if kind is Any or not isinstance(kind, type):
        return kind is not None
    return hasattr(kind, "__iter__") and not issubclass(kind, (str, bytes, Mapping))


def element_of(hint: object) -> object:
    """What an annotation of a list says of its elements; Any where it says nothing."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (list, set, frozenset) or (inspect.isclass(origin) and len(arguments) == 1):
        return arguments[0]
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    return Any


def list_element(hint: object) -> object | None:
    """The annotation of the items of a list, set or tuple of any length; None for anything else."""
    for each in _alternatives(hint) or (hint,):
        origin, arguments = get_origin(each) or each, get_args(each)
        if origin in (list, set, frozenset, Sequence):
            return arguments[0] if arguments else Any
        if origin is tuple and (not arguments or arguments[-1] is Ellipsis):
            return arguments[0] if arguments else Any
    return None


def hint_at(hint: object, path: Sequence[str | int]) -> object:
    """The annotation found by following field names, keys and positions; Any where it is not known.

    An optional annotation counts as what it is when it is not None.
    """
    for part in path:
        hint = _step(_without_none(hint), part)
    return _without_none(hint)


def _without_none(hint: object) -> object:
    members = [each for each in _alternatives(hint) or () if each is not type(None)]
    return members[0] if len(members) == 1 else hint


def _step(hint: object, part: str | int) -> object:
    if (members := _alternatives(hint)) is not None:  # pydantic names the member as a step of its own
        return next((each for each in members if part in (shown(each), getattr(each, "__name__", ""))), Any)
    if (fields := fields_of(hint)) is not None:
        return list(fields.values())[part] if isinstance(part, int) else fields.get(part, Any)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and Ellipsis not in arguments and isinstance(part, int):
        return arguments[part]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[1]
    return element_of(hint)


def shown(hint: object) -> str:
    """An annotation as its author wrote it."""
    arguments = get_args(hint)
    if hint is type(None) or hint is None:
        return "None"
    if hint is Ellipsis:
        return "..."
    if (alternatives := _alternatives(hint)) is not None:
        return " | ".join(map(shown, alternatives))
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if arguments and isinstance(origin := get_origin(hint), type):
        return f"{origin.__name__}[{', '.join(map(shown, arguments))}]"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def assignable(source: object, target: object) -> bool:
    """Whether a value annotated `source` may be passed where `target` is annotated.

    As type checkers see it, but lenient where an annotation says nothing: a bare `list` takes any list.
    """
    if source is Any or target in (Any, object, inspect.Parameter.empty) or source == target:
        return True
    if source is inspect.Parameter.empty or isinstance(source, TypeVar) or isinstance(target, TypeVar):
        return True
    if (alternatives := _alternatives(source)) is not None:
        return all(assignable(each, target) for each in alternatives)
    if (alternatives := _alternatives(target)) is not None:
        return any(assignable(source, each) for each in alternatives)
    if is_table(source) or is_table(target):
        return _tables_fit(source, target)
    if get_origin(target) is Literal:
        return get_origin(source) is Literal and set(get_args(source)) <= set(get_args(target))
    if get_origin(source) is Literal:
        return all(assignable(type(value), target) for value in get_args(source))
    return _classes_fit(source, target) and _arguments_fit(get_args(source), get_args(target))


def _alternatives(hint: object) -> tuple[object, ...] | None:
    return get_args(hint) if is_union(hint) else None


def _tables_fit(source: object, target: object) -> bool:
    """Whether one is a DataFrame, or has all columns that the other names."""
    if is_table(source) and is_table(target):
        return set(target.columns) <= set(source.columns)
    return _is_frame(target if is_table(source) else source)


def _is_frame(hint: object) -> bool:
    bases = hint.__mro__ if isinstance(hint, type) else ()
    return any(base.__name__ == "DataFrame" and base.__module__.startswith("pandas") for base in bases)


def _classes_fit(source: object, target: object) -> bool:
    given, wanted = get_origin(source) or source, get_origin(target) or target
    given, wanted = (type(None) if each is None else each for each in (given, wanted))
    if not isinstance(given, type) or not isinstance(wanted, type):
        return True
    if wanted is float and given is int:
        return True
    try:
        return issubclass(given, wanted)
    except TypeError:  # a protocol that is not checked at run time
        return True


def _arguments_fit(source: tuple[object, ...], target: tuple[object, ...]) -> bool:
    if not source or not target:
        return True
    if len(target) == 2 and target[1] is Ellipsis:
        return all(assignable(each, target[0]) for each in source if each is not Ellipsis)
    if len(source) != len(target):
        return len(target) == 1 and all(
            assignable(each, target[0]) for each in source if each is not Ellipsis
        )
    return all(assignable(given, wanted) for given, wanted in zip(source, target, strict=True))
