"""Check a graph before submission: queues exist, outputs can be stored, nothing contains a password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from orchestrator.artifacts import unsupported
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.errors import InvalidParameters, InvalidPipeline
from orchestrator.authoring.graph import JSON, Constant, Graph
from orchestrator.authoring.masking import SEE_CONTEXT, holds_password
from orchestrator.authoring.stage import stages

_KEPT = "holds a URL with a password, which would be kept with the run"


def check_parameters(pipeline: str, parameters: Mapping[str, JSON]) -> None:
    """Raise InvalidParameters for a password: parameters are stored with the run and visible to everybody."""
    for name, value in parameters.items():
        if holds_password(value):
            raise InvalidParameters(f"pipeline '{pipeline}': parameter '{name}' {_KEPT}", hint=SEE_CONTEXT)


def check_graph(graph: Graph, *, queues: Sequence[str]) -> None:
    """Raise InvalidPipeline with all mistakes that would make this graph fail later."""
    mistakes: list[str] = []
    for node in graph.everything:
        for name, value in {**node.inputs, **node.lists}.items():
            if isinstance(value, Constant) and holds_password(value.value):
                mistakes.append(f"{node.name}({name.rpartition('.')[2]}=…) {_KEPT}: {SEE_CONTEXT}")
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
    """Describe a queue that is not among `queues`, with the nearest match."""
    near = get_close_matches(queue, queues, 1)
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    return f"the queue '{queue}', but there are only {', '.join(queues)} (ORCHESTRATOR_QUEUES){suggestion}"
