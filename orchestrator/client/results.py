"""What is worth seeing of a run at first sight: what its pipeline returns, or its last and deciding nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.authoring.graph import (
    JSON,
    Constant,
    Fields,
    Gather,
    Graph,
    Input,
    Not,
    Output,
    Result,
    nodes_in,
)
from orchestrator.client.formatting import plain, shortened
from orchestrator.runs.record import Labels, NodeRecord, RunRecord
from orchestrator.runs.states import NodeState
from orchestrator.text import visible

#: Characters of a value.
SHOWN = 400


def headline_results(record: RunRecord, graph: Graph) -> Iterator[tuple[str, str]]:
    """Small outputs by name: what the pipeline returns, what nothing takes further, what decides, records."""
    if graph.result is not None:
        yield from _result(graph.result, record)
    returned = {each.node for each in _whole_outputs(graph.result)}
    deciding = {tested for node in graph for condition in node.conditions for tested in nodes_in(condition)}
    for node in record.nodes:
        if (
            node.name not in graph
            or node.name in returned
            or node.state is not NodeState.SUCCEEDED
            or node.value is None
        ):
            continue
        last = not graph.successors[graph[node.name].name]
        if last or node.name in deciding or isinstance(node.value, dict):
            yield node.name, told(node.value)


def _result(result: Result, record: RunRecord) -> Iterator[tuple[str, str]]:
    """What the pipeline returns, a field a line; values that are no small JSON by who gives them."""
    records = {node.name: node for node in record.nodes}
    parts = {f".{name}": value for name, value in result.items.items()} if isinstance(result, Fields) else {}
    for name, value in parts.items():
        yield f"result{name}", shortened(_words(value, records), SHOWN)
    if not isinstance(result, Fields):
        yield "result", shortened(_words(result, records), SHOWN)


def _whole_outputs(result: Result | None) -> Iterator[Output]:
    """The nodes whose whole output the pipeline returns: it is told once."""
    parts = result.items.values() if isinstance(result, Fields) else [] if result is None else [result]
    return (value for value in parts if isinstance(value, Output) and not value.path)


def labels_in_words(labels: Labels) -> Iterator[tuple[str, str]]:
    """A run's name, tags and note, each that it has by its title."""
    tags = "  ".join(f"{key}={value}" if value else key for key, value in labels.tags.items())
    return (
        (title, visible(text))
        for title, text in (("name", labels.name), ("tags", tags), ("note", labels.note))
        if text
    )


def told(value: JSON) -> str:
    """A value in one line; sentences in a line each."""
    if isinstance(value, list) and value and all(isinstance(each, str) and " " in each for each in value):
        return "\n".join(shortened(plain(each), SHOWN) for each in value)
    return shortened(plain(value), SHOWN)


def _words(value: Input, records: Mapping[str, NodeRecord]) -> str:
    match value:
        case Constant(constant):
            return plain(constant)
        case Gather(items):
            return f"[{', '.join(_words(item, records) for item in items)}]"
        case Not(of):
            return f"not {_words(of, records)}"
        case Output(node, path):
            return _output_in_words(value, records.get(node), path)
    return str(value)


def _output_in_words(output: Output, record: NodeRecord | None, path: tuple[str | int, ...]) -> str:
    if record is not None and record.state is not NodeState.SUCCEEDED:
        return f"({record.state.value.replace('_', ' ')})"
    part: JSON = record.value if record is not None else None
    for key in path:
        match part, key:
            case dict(), str(name) if name in part:
                part = part[name]
            case list(), int(index) if index < len(part):
                part = part[index]
            case _:
                part = None
    return f"(what {output} gives)" if part is None else plain(part)
