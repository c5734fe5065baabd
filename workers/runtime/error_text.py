"""Convert any error to text that can be recorded.

`str()` of an error may raise, be huge, or contain characters that cannot be encoded (a lone surrogate from a
file name). An error that cannot be recorded would make its stage run for ever, so nothing here raises.
Passwords are masked.
"""

from __future__ import annotations

import traceback

from billiard.common import terminate_handler_fired

from orchestrator.authoring.errors import OrchestratorError
from orchestrator.authoring.masking import mask_text
from orchestrator.text import printable

#: Maximum characters of an error's message, and of its traceback.
LINE, TRACE = 10_000, 100_000


def in_one_line(error: BaseException) -> str:
    """Format an error for the run's record: type, message and hint."""
    name = mask_text(printable(type(error).__name__))
    if isinstance(error, SystemExit):
        return f"{name}: the stage called sys.exit({_shown(error.code)}); to fail, raise an exception"
    message = message_of(error)
    told = f"{name}: {message}" if message else name
    hint = mask_text(error.hint or "") if isinstance(error, OrchestratorError) else None
    return f"{told.removesuffix('.')}. {hint}" if hint else told


def message_of(error: BaseException) -> str:
    """Return an error's message."""
    try:
        return _bounded(mask_text(printable(str(error))), LINE)
    except BaseException as broken:
        if terminate_handler_fired():
            raise  # this process was asked to terminate
        return f"its message cannot be shown ({type(broken).__name__} in __str__)"


def traceback_of(error: BaseException) -> str:
    """Format an error's traceback, including its causes."""
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
    """Shorten a text that is too long to its beginning and its end."""
    if len(text) <= most:
        return text
    head, tail = most // 4, most - most // 4
    return f"{text[:head]}\n… {len(text) - most} characters are left out …\n{text[-tail:]}"
