"""Finds out where a client works: which Redis there is, and in which stack this process takes part."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.client.errors import UnknownToStack
from orchestrator.runs import connection
from orchestrator.runs.errors import RedisUnreachable
from orchestrator.runs.store import RunStore
from orchestrator.settings import apply_environment, settings
from orchestrator.stack_state import StackState, private_states, read_state

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger("orchestrator.client")

#: The environment as it was before this process joined a stack: None for what was not set.
_joined: dict[str, str | None] = {}


def join_stack() -> StackState | None:
    """Take part in the stack that is up, unless REDIS_URL names a Redis; None if there is none to join."""
    if settings().redis_url is not None:
        return None
    state = read_state(settings().home)
    if state is not None:
        _enter(state.environment)
    return state


def join_redis(url: str) -> None:
    """Work with this Redis, until `leave_stack`."""
    _enter({"REDIS_URL": url})


def _enter(environment: Mapping[str, str]) -> None:
    _joined.update({name: os.environ.get(name) for name in environment if name not in _joined})
    apply_environment(environment)


def leave_stack() -> None:
    """Take part in no stack any more: a process that stays may outlive the stack that it joined."""
    for name, before in _joined.items():
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
    _joined.clear()
    settings.cache_clear()


def require_modules(stack: StackState, module: str) -> None:
    """Raise UnknownToStack if the stack's workers have not loaded a module of pipelines."""
    if not stack.knows(module):
        names = ",".join([*stack.modules, module.partition(".")[0]])
        anew = f"orchestrator down && ORCHESTRATOR_PIPELINES={names} orchestrator up"
        raise UnknownToStack(
            f"the stack that is up was started without the pipelines of '{module}'",
            hint=f"start it again with them: {anew}",
        )


def private_stacks() -> list[StackState]:
    """The private stacks of other terminals, if nothing says that there is another Redis to look at."""
    if settings().redis_url is not None:
        return []
    return private_states(settings().home)


def private_redis() -> Iterator[tuple[StackState, Redis]]:
    """The private stacks of other terminals that answer, each with a client for its Redis."""
    for state in private_stacks():
        with suppress(RedisUnreachable):  # it has just ended
            yield state, connection.connect_redis(state.redis_url)


def connect_durable_redis(url: str) -> Redis:
    """A client for the Redis at `url`, which has answered; raises RedisUnfit for one that would lose runs."""
    return connection.connect_durable_redis(url, evicting=settings().redis_eviction, warn=log.warning)


def wait_for_redis(url: str) -> None:
    """Return once the Redis at `url` can be worked with; raises RedisUnfit where waiting would not help."""
    connection.wait_for_redis(url, evicting=settings().redis_eviction, warn=log.warning)


def open_runs() -> RunStore:
    """The runs in the Redis of the settings, which is fit to keep them; raises RedisUnreachable."""
    return RunStore(connect_durable_redis(str(settings().redis_url)), lease_seconds=settings().lease_seconds)
