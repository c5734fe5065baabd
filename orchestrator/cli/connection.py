"""Finds out where a command works: which Redis there is, and in which stack this process takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.errors import UnknownToStack
from orchestrator.cli.messages import print_note, with_program_name
from orchestrator.runs import connection
from orchestrator.runs.store import RunStore
from orchestrator.settings import apply_environment, settings
from orchestrator.stack.state import StackState, private_states, read_state

if TYPE_CHECKING:
    from redis import Redis


def join_stack() -> StackState | None:
    """Take part in the stack that is up, unless REDIS_URL names a Redis; None if there is none to join."""
    if settings().redis_url is not None:
        return None
    state = read_state(settings().home)
    if state is not None:
        apply_environment(state.environment)
    return state


def require_modules(stack: StackState, module: str) -> None:
    """Raise UnknownToStack if the stack's workers have not loaded a module of pipelines."""
    if not stack.knows(module):
        names = ",".join([*stack.modules, module.partition(".")[0]])
        anew = f"orchestrator down && ORCHESTRATOR_PIPELINES={names} orchestrator up"
        raise UnknownToStack(
            f"the stack that is up was started without the pipelines of '{module}'",
            hint=with_program_name(f"start it again with them: {anew}"),
        )


def private_stacks() -> list[StackState]:
    """The private stacks of other terminals, if nothing says that there is another Redis to look at."""
    if settings().redis_url is not None:
        return []
    return private_states(settings().home)


def connect_durable_redis(url: str) -> Redis:
    """A client for the Redis at `url`, which has answered; raises RedisUnfit for one that would lose runs."""
    return connection.connect_durable_redis(url, evicting=settings().redis_eviction, warn=print_note)


def wait_for_redis(url: str) -> None:
    """Return once the Redis at `url` can be worked with; raises RedisUnfit where waiting would not help."""
    connection.wait_for_redis(url, evicting=settings().redis_eviction, warn=print_note)


def open_runs() -> RunStore:
    """The runs in the Redis of the settings, which is fit to keep them; raises RedisUnreachable."""
    return RunStore(connect_durable_redis(str(settings().redis_url)), lease_seconds=settings().lease_seconds)
