"""The local stack: a private Redis, workers for the queues, MLflow, and, when it is kept up, Flower."""

from __future__ import annotations

from orchestrator.redis_url import client_url
from orchestrator.stack.background import start_in_background, stop_in_background
from orchestrator.stack.embedded import EmbeddedStack
from orchestrator.stack.errors import RedisNotFound, StackBusy, StackFailed, Terminated
from orchestrator.stack.state import StackState, private_states, read_state

__all__ = [
    "EmbeddedStack",
    "RedisNotFound",
    "StackBusy",
    "StackFailed",
    "StackState",
    "Terminated",
    "client_url",
    "private_states",
    "read_state",
    "start_in_background",
    "stop_in_background",
]
