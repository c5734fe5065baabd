"""Makes a decorated function look like itself: name, docstring, module, signature."""

from __future__ import annotations

from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS


def dress(wrapper: object, function: Callable[..., object]) -> None:
    """Do what `functools.update_wrapper` does, for a frozen dataclass."""
    for name in WRAPPER_ASSIGNMENTS:
        if hasattr(function, name):
            object.__setattr__(wrapper, name, getattr(function, name))
    object.__setattr__(wrapper, "__wrapped__", function)
