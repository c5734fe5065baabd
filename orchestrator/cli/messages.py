"""What commands tell people on stderr: errors with a hint, notes, and commands as they can be called here."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.authoring.masking import mask_text
from orchestrator.client.formatting import shortened
from orchestrator.client.program import with_program_name
from orchestrator.errors import OrchestratorError
from orchestrator.text import visible

#: Exit status for what nobody foresaw (EX_SOFTWARE in sysexits.h), so that it is not taken for a failed run.
DEFECT = 70
WRONG_USE = 2
#: Characters of a message; some libraries put a whole document into theirs.
LONGEST = 4_000


def tell_error(error: Exception, *, debug: bool = False) -> int:
    """Print the error to stderr and return the exit status that goes with it."""
    if debug:
        traceback.print_exception(error)
    name, message, hint, status = _read(error)
    if sys.stderr.isatty():
        name = f"\033[1;31m{name}\033[0m"
    print(with_program_name(f"{name}: {shortened(visible(mask_text(message)), LONGEST)}"), file=sys.stderr)
    if hint:
        print(with_program_name(f"hint: {visible(mask_text(hint))}"), file=sys.stderr)
    return status


@contextmanager
def show_activity(text: str) -> Iterator[None]:
    """Show on a terminal what the block does; the line is erased when it ends."""
    terminal = sys.stderr.isatty()
    if terminal:
        print(f"\033[2m{text} …\033[0m", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def print_note(text: str) -> None:
    """Print to stderr what is not an error, but should be known."""
    print(with_program_name(f"note: {shortened(visible(mask_text(text)), LONGEST)}"), file=sys.stderr)


class Notes(logging.Handler):
    """Prints as notes what the client warns of."""

    @classmethod
    def of_client(cls) -> None:
        """Print them from now on."""
        log = logging.getLogger("orchestrator.client")
        log.addHandler(cls())
        log.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        print_note(record.getMessage())


def _read(error: Exception) -> tuple[str, str, str | None, int]:
    name = type(error).__name__
    if isinstance(error, OrchestratorError):
        return name, str(error), error.hint, error.exit_status
    module = type(error).__module__.partition(".")[0]
    if module == "redis":
        return "RedisUnreachable", f"Redis failed: {error}", "is it still running? see REDIS_URL", WRONG_USE
    if isinstance(error, PermissionError):
        hint = "let this user write there, or choose another place: ORCHESTRATOR_HOME, ORCHESTRATOR_STORE"
        return name, str(error), hint, WRONG_USE
    if isinstance(error, OSError):
        return name, str(error), None, WRONG_USE
    message = str(error) or "no message"
    return name, message, "this is a defect; run the command again with --debug to see where", DEFECT
