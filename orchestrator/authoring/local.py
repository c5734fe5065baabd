"""Runs a graph in this process, node after node."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.context import attempting, current_attempt
from orchestrator.authoring.errors import EmptyMap
from orchestrator.authoring.failure import FailedNode, Failure
from orchestrator.authoring.graph import (
    Constant,
    FailureOfRun,
    Gather,
    Graph,
    Input,
    Node,
    Not,
    Output,
    item_name,
)
from orchestrator.authoring.parameters import parse_value
from orchestrator.authoring.registry import stages


def run_graph(graph: Graph) -> dict[str, object]:
    """Run every node once and return the outputs by node name; skipped nodes are left out."""
    values: dict[str, object] = {}
    for name in graph.order:
        node = graph[name]
        reached = all(need in values for need in node.needs)
        if reached and all(_value(condition, values) for condition in node.conditions):
            try:
                values[name] = _run_items(node, values) if node.mapped else _run(node, name, values, {})
            except Exception as error:
                _tell_handlers(graph, node, error)
                raise
    return values


def _tell_handlers(graph: Graph, node: Node, error: Exception) -> None:
    """Run what is to run when the pipeline fails."""
    told = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    failed = FailedNode(name=node.name, stage=node.stage, error=told, traceback=trace, attempts=1)
    failure = Failure(
        run=current_attempt().run, pipeline=graph.pipeline, error=f"{node.name}: {told}", nodes=(failed,)
    )
    for handler in graph.handlers:
        with attempting(replace(current_attempt(), node=handler.name)):
            stages[handler.stage].function(**dict.fromkeys(handler.inputs, failure))


def _run_items(node: Node, values: Mapping[str, object]) -> list[object]:
    columns = {key: list(cast("list[object]", _value(value, values))) for key, value in node.varying.items()}
    lengths = {len(column) for column in columns.values()}
    if min(lengths) < node.at_least:
        raise EmptyMap.of(node.name, min(lengths), node.at_least)
    rows = zip(*columns.values(), strict=True)
    return [
        _run(node, item_name(node.name, index), values, dict(zip(columns, row, strict=True)))
        for index, row in enumerate(rows)
    ]


def _run(node: Node, name: str, values: Mapping[str, object], item: Mapping[str, object]) -> object:
    function = stages[node.stage].function
    hints = hints_of(function)
    arguments = {key: _argument(value, values, hints.get(key, object)) for key, value in node.inputs.items()}
    varied = {
        key: parse_value(value, hints.get(key, object)) if isinstance(node.varying[key], Constant) else value
        for key, value in item.items()
    }
    with attempting(replace(current_attempt(), node=name)):
        return function(**arguments, **varied)


def _argument(value: Input, values: Mapping[str, object], hint: object) -> object:
    if isinstance(value, Constant):
        return parse_value(value.value, hint)
    return _value(value, values)


def _value(value: Input, values: Mapping[str, object]) -> object:
    match value:
        case Constant(constant):
            return constant
        case Gather(items):
            return [_value(item, values) for item in items]
        case Output(node, path):
            found = values[node]
            for key in path:
                named = isinstance(key, str) and not isinstance(found, dict)
                found = getattr(found, str(key)) if named else found[key]  # type: ignore[index]
            return found
        case Not(output):
            return not _value(output, values)
        case FailureOfRun():
            raise LookupError("only the stages of on_failure are told of a failure")
