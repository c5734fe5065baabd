"""The argument of an `on_failure` stage: the run that failed, with its failed nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FailedNode:
    """A node whose last attempt failed."""

    name: str  #: such as `fit[3]`
    stage: str  #: `<module>.<function>`
    error: str  #: `ClassName: message`
    traceback: str  #: of the last attempt, as the worker had it
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that failed: what an `on_failure` stage takes as its argument."""

    run: str
    pipeline: str
    error: str  #: the first node that failed, and its error
    nodes: tuple[FailedNode, ...] = ()
