"""Finds the codec of an annotation, and of all that is inside it; each is compiled once."""

from __future__ import annotations

import collections.abc
import inspect
from collections.abc import Callable
from enum import Enum, Flag
from pathlib import Path, PurePath
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, get_args, get_origin

from orchestrator.artifacts import user_codecs
from orchestrator.artifacts.codec import Codec
from orchestrator.artifacts.codecs.containers import ListCodec, MappingCodec, TupleCodec
from orchestrator.artifacts.codecs.files import BytesCodec, CustomCodec, PathCodec
from orchestrator.artifacts.codecs.open_json import OpenJsonCodec
from orchestrator.artifacts.codecs.records import RecordCodec, Shape, missing_arguments, shape_of
from orchestrator.artifacts.codecs.scalars import SCALARS, ChoiceCodec, FlagCodec, enum_codec
from orchestrator.artifacts.codecs.unions import UnionCodec
from orchestrator.artifacts.errors import UnsupportedType
from orchestrator.artifacts.hints import (
    base_names,
    is_alias,
    is_forward_reference,
    is_json,
    name_of,
    union_members,
    unwrapped,
)
from orchestrator.artifacts.libraries import library_codec
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Json, Tree

#: What is being compiled, from the outside in: a recursive annotation meets itself here.
Pending: TypeAlias = "tuple[object, ...]"

_OPEN_JSON: Final = OpenJsonCodec()
_BYTES: Final = BytesCodec()
_PATH: Final = PathCodec()

_LISTS: Final[dict[object, tuple[tuple[type, ...], Callable[..., object]]]] = {
    list: ((list,), list),
    set: ((set,), set),
    frozenset: ((frozenset,), frozenset),
    collections.abc.Sequence: ((list, tuple), list),
    collections.abc.Collection: ((list, tuple), list),
    collections.abc.Iterable: ((list, tuple), list),
}
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_compiled: dict[object, Codec] = {}
user_codecs.on_change(_compiled.clear)


def codec_for(hint: object) -> Codec:
    """The codec of an annotation; `UnsupportedType` says why there is none."""
    try:
        found = _compiled.get(hint)
    except TypeError:  # not hashable: `Annotated` with metadata of any kind
        return _compile(hint, ())
    if found is None:
        found = _compiled[hint] = _compile(hint, ())
    return found


class _Recursive(Codec):
    """The codec of a recursive annotation inside itself, looked up when it is used."""

    def __init__(self, hint: object) -> None:
        super().__init__(name_of(hint), plain=False)
        self._hint = hint

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        return codec_for(self._hint).encode(value, store)

    def decode(self, tree: Tree, store: ArtifactStore) -> object:
        return codec_for(self._hint).decode(tree, store)

    def accepts(self, tree: Tree, store: ArtifactStore) -> bool:
        return codec_for(self._hint).accepts(tree, store)

    def part(self, tree: Tree, key: str | int, store: ArtifactStore) -> tuple[Codec, Tree]:
        return codec_for(self._hint).part(tree, key, store)


def _compile(hint: object, pending: Pending) -> Codec:
    hint = unwrapped(hint)
    if (known := _simple(hint)) is not None:
        return known
    if any(hint is outer for outer in pending):
        return _Recursive(hint)
    pending = (*pending, hint)
    if is_alias(hint):
        return _OPEN_JSON if is_json(hint) else _compile(hint.__value__, pending)  # type: ignore[attr-defined]
    if (union := union_members(hint)) is not None:
        return _union(hint, union, pending)
    origin = get_origin(hint)
    if origin is Literal:
        return _literal(hint)
    cls = origin or hint
    if cls in _LISTS or cls is tuple or cls in _MAPPINGS:
        return _container(hint, cls, pending)
    if isinstance(cls, type):
        return _class(hint, cls, pending)
    raise _unsupported(hint)


def _simple(hint: object) -> Codec | None:
    if isinstance(hint, type) and hint not in SCALARS and (user := user_codecs.registered(hint)) is not None:
        return CustomCodec(name_of(hint), hint, user)
    if hint is bytes:
        return _BYTES
    if hint is Path or hint is PurePath:
        return _PATH
    return SCALARS.get(hint) if hint is None or isinstance(hint, type) else None


def _union(hint: object, union: tuple[object, ...], pending: Pending) -> Codec:
    if any(map(is_forward_reference, _leaves(hint))) and is_json(hint):
        return _OPEN_JSON  # `JSON = None | … | list["JSON"]`, of which the inner name cannot be looked up
    return UnionCodec(name_of(hint), {name_of(arm, full=True): _compile(arm, pending) for arm in union})


def _leaves(hint: object) -> list[object]:
    args = get_args(unwrapped(hint))
    return [leaf for arg in args for leaf in _leaves(arg)] if args else [hint]


def _literal(hint: object) -> Codec:
    choices: list[tuple[object, Json]] = []
    for value in get_args(hint):
        if isinstance(value, bytes):
            raise _unsupported(hint, "bytes cannot be the values of a Literal here")
        choices.append((value, value.name if isinstance(value, Enum) else value))
    return ChoiceCodec(name_of(hint), choices, exact=None)


def _container(hint: object, cls: object, pending: Pending) -> Codec:
    args, label = get_args(hint), name_of(hint)
    if cls is tuple:
        if args[1:] == (...,) or hint is tuple:
            return ListCodec(label, _item(args[0] if args else Any, label, pending), (tuple,), tuple)
        return TupleCodec(label, tuple(_item(arg, label, pending) for arg in args))
    if cls in _MAPPINGS:
        key, item = args or (str, Any)
        return MappingCodec(label, _key(key, label), _item(item, label, pending))
    item_codec = _item(args[0] if args else Any, label, pending)
    if cls in (set, frozenset) and not item_codec.plain:
        raise UnsupportedType(
            f"{label} cannot be stored: a set's items must be simple values", hint="Use a list."
        )
    taken, made = _LISTS[cls]
    return ListCodec(label, item_codec, taken, made)


def _item(hint: object, label: str, pending: Pending) -> Codec:
    if hint is Any or hint is object:
        return _OPEN_JSON
    try:
        return _compile(hint, pending)
    except UnsupportedType as error:
        raise error.within(f"in {label}") from error


def _key(hint: object, label: str) -> Codec:
    codec = _OPEN_JSON if hint is Any else _compile(hint, ())
    if hint is Any or codec in (SCALARS[str], SCALARS[int]):
        return SCALARS[str] if hint is Any else codec
    if isinstance(codec, ChoiceCodec) and codec.is_text:
        return codec
    raise UnsupportedType(
        f"{label} cannot be stored: its keys must be str, int, or an Enum or Literal of str",
        hint="Use such keys, or a list of pairs.",
    )


def _class(hint: object, cls: type, pending: Pending) -> Codec:
    label = name_of(hint)
    if issubclass(cls, Enum):
        return FlagCodec(cls) if issubclass(cls, Flag) else enum_codec(cls)
    names = base_names(cls)
    if (codec := library_codec(hint, cls, names, label)) is not None:
        return codec
    if "pydantic.BaseModel" in names:
        return _model(cls, label, pending)
    try:
        shape = shape_of(cls, label)
    except NameError as error:
        raise UnsupportedType(
            f"{label} cannot be stored: {error} (an annotation of its fields cannot be looked up)",
            hint="Define or import that name at the top of the module, not under TYPE_CHECKING.",
        ) from error
    if shape is None:
        raise _unsupported(hint)
    if needed := missing_arguments(cls):
        raise _unsupported(hint, f"{', '.join(needed)} (InitVar) cannot be had back from its fields")
    return _record(shape, _type_arguments(hint, cls), pending)


def _record(shape: Shape, bound: dict[object, object], pending: Pending) -> Codec:
    fields: dict[str, Codec] = {}
    for name, hint in shape.hints.items():
        try:
            fields[name] = _compile(_substituted(hint, bound), pending)
        except UnsupportedType as error:
            raise error.within(f"field {name!r} of {shape.label}") from error
    return RecordCodec(shape, fields)


def _model(cls: type, label: str, pending: Pending) -> Codec:
    from orchestrator.artifacts.codecs.models import FieldCodec, StoredSecret, model_shape

    shape = model_shape(cast("Any", cls), label)
    fields: dict[str, Codec] = {}
    for name, hint in shape.hints.items():
        try:
            fields[name] = _compile(hint, pending)
        except StoredSecret:
            raise
        except UnsupportedType as error:
            try:
                fields[name] = FieldCodec(hint, f"field {name!r} of {label}")
            except StoredSecret:
                raise
            except UnsupportedType:
                raise error.within(f"field {name!r} of {label}") from error
    return RecordCodec(shape, fields)


def _type_arguments(hint: object, cls: type) -> dict[object, object]:
    """What the type variables of a generic class stand for in this annotation."""
    return dict(zip(getattr(cls, "__parameters__", ()), get_args(hint), strict=False))


def _substituted(hint: object, bound: dict[object, object]) -> object:
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    free = getattr(hint, "__parameters__", ())
    if not bound or not free or isinstance(hint, type):
        return hint
    return cast("Any", hint)[tuple(bound.get(variable, variable) for variable in free)]


def _unsupported(hint: object, reason: str = "") -> UnsupportedType:
    name = name_of(hint)
    if hint is Any or hint is object or hint is inspect.Parameter.empty:
        return UnsupportedType(
            "a value without an annotation that says its type cannot be stored",
            hint="Annotate it, for example -> pd.DataFrame, -> dict[str, float] or a dataclass.",
        )
    if isinstance(hint, TypeVar) or is_forward_reference(hint):
        return UnsupportedType(
            f"{name} cannot be stored: the annotation leaves open what it stands for",
            hint="Write the type itself, and import it at the top of the module.",
        )
    return UnsupportedType(
        f"{name} cannot be stored{f': {reason}' if reason else ''}",
        hint=f"Use a type that can (a dataclass, a table, an estimator, …), or teach the store this one with "
        f"orchestrator.artifacts.register_codec({name.partition('[')[0]}, codec).",
    )
