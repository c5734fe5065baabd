"""What goes wrong when runs are kept in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import OrchestratorError


class UnknownRun(OrchestratorError):
    """There is no run of that id."""


class UnreadableRun(OrchestratorError):
    """What Redis has of a run makes no sense."""


class RunIsOver(OrchestratorError):
    """A run that has ended cannot be stopped."""


class NothingLeft(OrchestratorError):
    """A run that has succeeded cannot be resumed."""


class RoundTaken(OrchestratorError):
    """Somebody else carries the run on at the same time."""


class RedisUnreachable(OrchestratorError):
    """Redis does not answer."""


class RedisUnfit(RedisUnreachable):
    """Redis answers, but not so that runs could be entrusted to it: waiting does not help."""


class LeaseLost(OrchestratorError):
    """Another worker took the node over: what this attempt made is not committed."""


@contextmanager
def readable(run: str) -> Iterator[None]:
    """Make sense inside the block of what Redis has of a run; what makes none is an UnreadableRun."""
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
    """Whether a value has another type or form than we write; scripts say so in plain ResponseErrors."""
    from redis.exceptions import ResponseError

    forms = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
    return isinstance(error, forms) or type(error) is ResponseError
