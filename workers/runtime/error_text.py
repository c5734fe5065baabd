"""An error in words that can be recorded, whatever its author made of it.

`str()` of an error may raise, be endless, or hold what is no text (a lone surrogate, from a file's name). An
error that cannot be recorded would run its stage for ever: nothing here raises. Passwords are masked.
"""

from __future__ import annotations

import traceback

from billiard.common import terminate_handler_fired

from orchestrator.authoring.errors import OrchestratorError
from orchestrator.authoring.masking import mask_text
from orchestrator.text import printable

#: Characters of an error's line, and of its traceback, that are kept.
LINE, TRACE = 10_000, 100_000


def in_one_line(error: BaseException) -> str:
    """An error as the run's record has it, with what to do about it."""
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"{name}: the stage called sys.exit({_shown(error.code)}); to fail, raise an exception"
    message = message_of(error)
    told = f"{name}: {message}" if message else name
    hint = mask_text(error.hint or "") if isinstance(error, OrchestratorError) else None
    return f"{told.removesuffix('.')}. {hint}" if hint else told


def message_of(error: BaseException) -> str:
    """What an error says."""
    try:
        return _bounded(mask_text(printable(str(error))), LINE)
    except BaseException as broken:
        if terminate_handler_fired():
            raise  # this process is told to end
        return f"its message cannot be shown ({type(broken).__name__} in __str__)"


def traceback_of(error: BaseException) -> str:
    """An error's traceback, with its causes."""
    try:
        return _bounded(mask_text(printable("".join(traceback.format_exception(error)))), TRACE)
    except BaseException as broken:
        if terminate_handler_fired():
            raise
        frames = "".join(traceback.format_tb(error.__traceback__))
        why = f"(its causes and notes cannot be shown: {type(broken).__name__})"
        return f"Traceback (most recent call last):\n{frames}{in_one_line(error)}\n{why}\n"


def _shown(value: object) -> str:
    try:
        return _bounded(mask_text(printable(repr(value))), LINE) if value is not None else ""
    except BaseException:
        if terminate_handler_fired():
            raise
        return "…"


def _bounded(text: str, most: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= most:
        return text
    head, tail = most // 4, most - most // 4
    return f"{text[:head]}\n… {len(text) - most} characters are left out …\n{text[-tail:]}"
