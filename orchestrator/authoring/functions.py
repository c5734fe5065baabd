"""The function under `@stage` or `@pipeline`: which ones may be one, where it is written, its metadata."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS, partial
from textwrap import dedent
from typing import Any

from orchestrator.authoring.errors import InvalidDefinition


def check_function(kind: str, function: Callable[..., object]) -> None:
    """Raise InvalidDefinition unless a call of the function gives its result, and the function has a name."""
    name = getattr(function, "__name__", None)
    if name is None or not hasattr(function, "__module__"):
        given = type(function).__name__
        raise InvalidDefinition(f"@{kind} takes a function written with def, not a {given}: let one call it")
    found = _kind_of_result(function)
    if found is not None:
        raise InvalidDefinition(f"{kind} {name} ({place_of(function)}) {_REFUSALS[found].format(kind=kind)}")


def copy_metadata(wrapper: object, function: Callable[..., object]) -> None:
    """Do what `functools.update_wrapper` does, for a frozen dataclass: name, docstring, module, signature."""
    for name in WRAPPER_ASSIGNMENTS:
        if hasattr(function, name):
            object.__setattr__(wrapper, name, getattr(function, name))
    object.__setattr__(wrapper, "__wrapped__", function)


def place_of(function: Callable[..., object]) -> str:
    """Where a function is written: `file:line`."""
    code = getattr(underlying(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else getattr(function, "__module__", "?")


def underlying(function: Callable[..., object]) -> Callable[..., Any]:
    """The function in a `functools.partial` or a bound method, or behind an object's `__call__`."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif not inspect.isroutine(function) and not isinstance(function, type) and callable(function):
            function = type(function).__call__
        else:
            return function


_COROUTINE, _GENERATOR, _ASYNC_GENERATOR = "coroutine", "generator", "async generator"

_REFUSALS = {
    _COROUTINE: "is written with async def, and nobody awaits a {kind}: let a plain def call asyncio.run(…)",
    _GENERATOR: "is a generator, and nobody iterates over a {kind}: return a list instead of yielding",
    _ASYNC_GENERATOR: "is an async generator, and nobody iterates over a {kind}: let a plain def collect "
    "what it yields",
}


def _kind_of_result(function: Callable[..., object]) -> str | None:
    """What a call gives instead of a result; None if it gives a result."""
    innermost = underlying(function)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(innermost):
        return _COROUTINE
    if inspect.isasyncgenfunction(innermost):
        return _ASYNC_GENERATOR
    if inspect.isgeneratorfunction(innermost):
        return _GENERATOR
    wrapped = getattr(innermost, "__wrapped__", None) or getattr(function, "__wrapped__", None)
    if not callable(wrapped):
        return None
    given = _kind_of_result(wrapped)
    return given if given and _returns_wrapped_call(innermost) else None


def _returns_wrapped_call(wrapper: Callable[..., object]) -> bool:
    """Whether a decorator's wrapper returns the result of the wrapped function without consuming it."""
    try:
        tree = ast.parse(dedent(inspect.getsource(wrapper.__code__)))
    except (OSError, TypeError, SyntaxError, AttributeError):
        return False
    code = wrapper.__code__
    return any(
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id in code.co_freevars
        for node in ast.walk(tree)
    )
