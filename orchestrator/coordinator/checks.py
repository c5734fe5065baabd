"""Checks what a graph needs of its surroundings: queues that exist, outputs that can be stored."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from orchestrator.artifacts import unsupported
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.errors import InvalidPipeline
from orchestrator.authoring.graph import Graph
from orchestrator.authoring.registry import stages


def check_graph(graph: Graph, *, queues: Sequence[str]) -> None:
    """Raise InvalidPipeline with everything that would stop this graph later."""
    mistakes: list[str] = []
    for node in graph.everything:
        if node.policy.queue not in queues:
            mistakes.append(f"{node.name} asks for {unknown_queue(node.policy.queue, queues)}")
    for name in dict.fromkeys(node.stage for node in graph.everything):
        stage = stages[name]
        short = stage.function.__name__
        hints = hints_of(stage.function)
        if "return" not in hints:
            mistakes.append(f"{short} does not say what it returns: annotate it (-> None if nothing)")
        elif reason := unsupported(hints["return"]):
            mistakes.append(f"{short} returns what cannot be stored: {reason}")
    if mistakes:
        raise InvalidPipeline(graph.pipeline, mistakes)


def unknown_queue(queue: str, queues: Sequence[str]) -> str:
    """What to say of a queue that is not among `queues`."""
    near = get_close_matches(queue, queues, 1)
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    return f"the queue '{queue}', but there are only {', '.join(queues)} (ORCHESTRATOR_QUEUES){suggestion}"
