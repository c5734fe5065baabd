"""The errors of stages, pipelines and their parameters, and the root of all errors of this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

#: So many columns of a table are listed where one is missing.
_SHOWN_COLUMNS: Final = 30


class OrchestratorError(Exception):
    """An error whose message is meant for a person: what is wrong, where, and what to do next.

    The command line prints it as `ClassName: message`, then the hint, and exits with `exit_status`.
    A stage that raises one is not tried again, because the same input would raise it again, unless the error
    is `transient`: a service is away, and a later attempt may succeed.
    """

    exit_status = 2
    transient = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def is_bad_input(error: BaseException) -> bool:
    """Whether the same input would raise the error again."""
    if isinstance(error, OrchestratorError):
        return not error.transient
    from pydantic import ValidationError

    return isinstance(error, ValidationError)


class InvalidPolicy(OrchestratorError):
    """A value that a stage's policy cannot have."""


class InvalidDefinition(OrchestratorError):
    """A function that cannot be a stage or a pipeline, or whose name another one has."""


class InvalidParameters(OrchestratorError):
    """Parameters that the pipeline does not take, or values of the wrong type."""


class InvalidPipeline(OrchestratorError):
    """All mistakes that were found in one pipeline."""

    def __init__(self, pipeline: str, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        count = len(self.mistakes)
        if count == 1:
            message = f"pipeline '{pipeline}': {self.mistakes[0]}"
        else:
            listed = "".join(f"\n  {number}. {text}" for number, text in enumerate(self.mistakes, 1))
            message = f"pipeline '{pipeline}' has {count} mistakes:{listed}"
        super().__init__(message)


class MissingSecret(OrchestratorError):
    """A secret that a stage asks for, and its worker's environment does not have."""

    exit_status = 1


class EmptyMap(OrchestratorError):
    """A map over fewer items than its author asked for with `at_least`."""

    @classmethod
    def of(cls, name: str, items: int, at_least: int) -> EmptyMap:
        """The error of a map that got too few items."""
        return cls(f"{name}.map(…, at_least={at_least}) got {items or 'no'} item{'s' * (items != 1)}")


class UnevenMap(OrchestratorError):
    """A map over lists of different lengths."""

    @classmethod
    def of(cls, name: str, lengths: Mapping[str, int]) -> UnevenMap:
        """The error of a map whose lists have these lengths, by parameter."""
        listed = ", ".join(f"{parameter} has {length}" for parameter, length in lengths.items())
        return cls(f"{name}.map(…) goes through its lists side by side, but {listed}")


class InvalidData(OrchestratorError, ValueError):
    """Input that no retry can fix: a stage raises it to stop its run with a plain message."""

    exit_status = 1


class MissingColumn(InvalidData):
    """A column that an annotation names, and the table does not have."""

    @classmethod
    def of(cls, name: str, there: Sequence[object]) -> MissingColumn:
        """The error for the column `name` of a table that has the columns `there`."""
        near = get_close_matches(name, [each for each in there if isinstance(each, str)], 1)
        listed = ", ".join(map(repr, there[:_SHOWN_COLUMNS])) or "none"
        more = f" and {len(there) - _SHOWN_COLUMNS} more" if len(there) > _SHOWN_COLUMNS else ""
        return cls(
            f"the table has no column {name!r}; its columns are {listed}{more}",
            hint=f"Did you mean {near[0]!r}?" if near else None,
        )
