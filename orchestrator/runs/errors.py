"""Errors of the run store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import OrchestratorError


class UnknownRun(OrchestratorError):
    """No run has this id."""


class UnreadableRun(OrchestratorError):
    """The data of a run in Redis is malformed."""


class RunIsOver(OrchestratorError):
    """A run that has ended cannot be cancelled."""


class NothingLeft(OrchestratorError):
    """A run that has succeeded cannot be resumed."""


class RoundTaken(OrchestratorError):
    """Another client resumes the run at the same time."""


class RedisUnreachable(OrchestratorError):
    """Redis does not answer."""


class RedisUnfit(RedisUnreachable):
    """Redis answers, but its version or configuration is unsuitable for runs: waiting does not help."""


class LeaseLost(OrchestratorError):
    """Another worker took the node over: this attempt's output is not committed."""


@contextmanager
def readable(run: str) -> Iterator[None]:
    """Raise UnreadableRun if the block fails because a run's data in Redis is malformed."""
    try:
        yield
    except Exception as error:
        if not _makes_no_sense(error):
            raise
        reason = (str(error).splitlines() or [""])[0][:120]
        raise UnreadableRun(
            f"what Redis has of run '{run}' cannot be read ({type(error).__name__}: {reason})",
            hint="What is committed is in the artifact store. Have Redis forget the run, then carry it on: "
            f"redis-cli --scan --pattern 'orc:{{{run}}}:*' | xargs redis-cli DEL; orchestrator resume {run}",
        ) from error


def _makes_no_sense(error: Exception) -> bool:
    """Whether the error means malformed data; Lua scripts report that as plain ResponseErrors."""
    from redis.exceptions import ResponseError

    forms = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
    return isinstance(error, forms) or type(error) is ResponseError
