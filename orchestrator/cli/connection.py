"""Finds out where a command works: which Redis there is, and in which stack this process takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.settings import settings, take_part

if TYPE_CHECKING:
    from redis import Redis

    from orchestrator.stack.state import StackState


def join_stack() -> StackState | None:
    """Take part in the stack that is up, unless REDIS_URL names a Redis; None if there is none to join."""
    if settings().redis_url is not None:
        return None
    from orchestrator.stack.state import read_state

    state = read_state(settings().home)
    if state is not None:
        take_part(state.environment)
    return state


def require_modules(stack: StackState, module: str) -> None:
    """Raise UnknownToStack if the stack's workers have not loaded a module of pipelines."""
    from orchestrator.cli.calling import as_called
    from orchestrator.cli.errors import UnknownToStack

    if not stack.knows(module):
        names = ",".join([*stack.modules, module.partition(".")[0]])
        anew = f"orchestrator down && ORCHESTRATOR_PIPELINES={names} orchestrator up"
        raise UnknownToStack(
            f"the stack that is up was started without the pipelines of '{module}'",
            hint=as_called(f"start it again with them: {anew}"),
        )


def private_stacks() -> list[StackState]:
    """The private stacks of other terminals, if nothing says that there is another Redis to look at."""
    if settings().redis_url is not None:
        return []
    from orchestrator.stack.state import private_states

    return private_states(settings().home)


def reach(url: str) -> Redis:
    """A client for the Redis at `url`, which has answered; raises RedisUnreachable."""
    from orchestrator.runs import connection

    return connection.reach(url)


def reach_for_work(url: str) -> Redis:
    """The same, where runs are to be kept: raises RedisUnfit for a Redis that would lose them."""
    from orchestrator.cli.messages import note
    from orchestrator.runs import connection

    return connection.reach_for_work(url, evicting=settings().redis_eviction, warn=note)


def wait_for(url: str) -> None:
    """Return once the Redis at `url` can be worked with; raises RedisUnfit where waiting would not help."""
    from orchestrator.cli.messages import note
    from orchestrator.runs import connection

    connection.wait_for(url, evicting=settings().redis_eviction, warn=note)
