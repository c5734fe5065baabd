"""Keeps the names of stages and pipelines unique: a second function that takes a name is an error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CellType, FrameType, FunctionType

from orchestrator.authoring.errors import InvalidDefinition
from orchestrator.authoring.functions import place_of, underlying


@dataclass(frozen=True)
class _Definition:
    function: Callable[..., object]
    place: str
    load: object = None  #: one execution of the module; `importlib.reload` begins another
    maker: tuple[str, int] | None = None  #: the module and line whose execution made it
    permanent: bool = True  #: False: made inside a function after its module was loaded, such as a test


_definitions: dict[tuple[str, str], _Definition] = {}  #: by kind ("stage" or "pipeline") and name


def take_name(kind: str, name: str, function: Callable[..., object]) -> None:
    """Record which function a name stands for; raises InvalidDefinition if it stands for another one."""
    made = _definition(function)
    before = _definitions.get((kind, name))
    if before is not None and _conflict(kind, before, made):
        raise InvalidDefinition(
            f"two functions are {kind} {name}: {before.place} and {made.place}",
            hint="give each a name of its own; what a factory varies can be a parameter instead, "
            "and a decorator keeps its function's name by functools.wraps",
        )
    _definitions[kind, name] = made


def made_at(stage: str) -> tuple[str, int] | None:
    """The module and the line that made a stage while the module was loaded, as in `double = make(2)`."""
    definition = _definitions.get(("stage", stage))
    return definition.maker if definition else None


def _definition(function: Callable[..., object]) -> _Definition:
    place, innermost = place_of(function), underlying(function)
    if not isinstance(innermost, FunctionType):
        return _Definition(function, place)
    load, frame = innermost.__globals__.get("__spec__"), _running_module(innermost)
    if frame is None:
        return _Definition(function, place, load, permanent="<locals>" not in innermost.__qualname__)
    if "<locals>" in innermost.__qualname__:
        place = f"{place} (for {frame.f_code.co_filename}:{frame.f_lineno})"
    return _Definition(function, place, load, maker=(str(frame.f_globals["__name__"]), frame.f_lineno))


def _running_module(function: FunctionType) -> FrameType | None:
    """The frame of the module that makes this function while it is loaded, itself or by another function."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if frame is None:
        return None
    running = frame.f_globals is function.__globals__
    imported = getattr(frame.f_globals.get("__spec__"), "_initializing", False)
    return frame if running or imported else None


def _conflict(kind: str, before: _Definition, made: _Definition) -> bool:
    """Whether these are different functions of a module as it is loaded now.

    A module that is loaded again, and a notebook's cell that is run again, replace what they defined before.
    """
    one, other = underlying(before.function), underlying(made.function)
    if not isinstance(one, FunctionType) or not isinstance(other, FunctionType):
        return one is not other
    if one.__globals__ is not other.__globals__ or before.load is not made.load:
        return False
    temporary = not before.permanent and not made.permanent
    if one.__code__ == other.__code__:
        # Of stages that a test makes, too, one would run in the other's place; a pipeline runs as it was made
        return not _equal(before.function, made.function) and not (temporary and kind == "pipeline")
    if temporary:
        return False
    return all(Path(each.__code__.co_filename).is_file() for each in (one, other))


def _equal(one: object, other: object) -> bool:
    """Whether two values are equal; of functions, whether they have the same code and captured values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one.__code__ == other.__code__ and _all_equal(_captured_values(one), _captured_values(other))
    if isinstance(one, partial) and isinstance(other, partial):
        ours, theirs = ((each.func, *each.args, *each.keywords.values()) for each in (one, other))
        return [*one.keywords] == [*other.keywords] and _all_equal(ours, theirs)
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - an array, or whatever else cannot be compared
        return False


def _all_equal(ones: Sequence[object], others: Sequence[object]) -> bool:
    return len(ones) == len(others) and all(map(_equal, ones, others))


def _captured_values(function: FunctionType) -> list[object]:
    """The values that a function was made with: of its closure, and its defaults."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]
    found = [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [None if value is function else value for value in found]  # it may call itself
