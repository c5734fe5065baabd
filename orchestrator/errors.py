"""What goes wrong on the user's side of a run, said in one line and with the exit status it deserves."""

from __future__ import annotations


class OrchestratorError(Exception):
    """An error whose message is meant for a person: what is wrong, where, and what to do next.

    The command line prints it as `ClassName: message`, then the hint, and exits with `exit_status`.
    """

    exit_status = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
