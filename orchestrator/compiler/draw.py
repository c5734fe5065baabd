"""Shows a pipeline: the graph and the canvas that it became, as a tree, as JSON or as a Mermaid diagram."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.authoring.graph import JSON, Graph, Input, Node, Not, nodes_in
from orchestrator.compiler.plan import Link, Plan, Sequence


def tree(plan: Plan) -> str:
    """The canvas as an indented tree of chains and chords, one node a line."""
    lines = [f"{plan.graph.pipeline}: {len(plan.graph)} nodes on {', '.join(sorted(plan.graph.queues))}"]
    started = [*plan.roots, *plan.woken.values()]
    for sequence in started:
        lines.extend(_branch(_sequence_lines(plan, sequence), last=sequence is started[-1]))
    lines += [f"on failure: {node.name}  ({node.policy.queue})" for node in plan.graph.handlers]
    return "\n".join(lines)


def as_json(plan: Plan) -> dict[str, JSON]:
    """The graph, and the canvas as nested `chain`, `chord` and node objects."""
    canvas: list[JSON] = [_sequence_json(plan, each) for each in (*plan.roots, *plan.woken.values())]
    return {"pipeline": plan.graph.pipeline, "graph": plan.graph.to_json(), "canvas": canvas}


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart; queues are the colours, dashed edges carry order or a condition."""
    ids = {node.name: f"n{place}" for place, node in enumerate(graph.everything)}
    lines = ["flowchart TD"]
    for node in graph:
        length = "?" if node.known_length is None else node.known_length
        label = f"{node.name} ×{length}" if node.mapped else node.name
        shape = f'[["{label}"]]' if node.mapped else f'["{label}"]'
        lines.append(f"  {ids[node.name]}{shape}:::{node.policy.queue}")
    for node in graph.handlers:
        lines.append(f'  {ids[node.name]}(["on failure: {node.name}"]):::{node.policy.queue}')
    for node in graph:
        data = {taken for value in _given(node) for taken in nodes_in(value)}
        tests = {
            tested: "if not" if isinstance(condition, Not) else "if"
            for condition in node.conditions
            for tested in nodes_in(condition)
        }
        for need in sorted(node.needs):
            arrow = "-->" if need in data else f"-. {tests[need]} .->" if need in tests else "-.->"
            lines.append(f"  {ids[need]} {arrow} {ids[node.name]}")
    colours = {"data": "#dbeafe", "training": "#fef3c7", "deployment": "#dcfce7"}
    lines += [f"  classDef {queue} fill:{colours.get(queue, '#f3f4f6')}" for queue in sorted(graph.queues)]
    return "\n".join(lines)


def _given(node: Node) -> list[Input]:
    return [*node.inputs.values(), *node.lists.values()]


def _describe(plan: Plan, link: Link) -> str:
    node = plan.node(link.node)
    notes = [node.policy.queue]
    if node.mapped:
        notes.append(_map_note(plan, node))
    if followed := plan.graph.item_edges.get(node.name):
        notes.append("item by item behind " + ", ".join(followed))
    if node.conditions:
        notes.append("only if " + " and ".join(map(str, node.conditions)))
    if node.policy.retry:
        notes.append(f"up to {node.policy.retry.times} retries")
    if node.name in plan.woken:
        notes.append("sent by the last of " + ", ".join(sorted(node.needs)))
    return f"{node.name}  ({'; '.join(notes)})"


def _map_note(plan: Plan, node: Node) -> str:
    if node.scope:
        return f"{'a map in' if node.varying else 'for'} each copy of {node.scope}"
    bound = f" (at least {node.at_least})" if node.at_least else ""
    if node.known_length is None:
        return f"map, a chord as long as its list turns out{bound}"
    if not node.known_length:
        return "map without items"
    return f"map, a chord of {node.known_length}{'' if plan.written_out(node) else ' made on a worker'}"


def _sequence_lines(plan: Plan, sequence: Sequence) -> list[str]:
    lines: list[str] = []
    for link in sequence:
        if link.heads:
            lines.append(f"chord of {len(link.heads)}")
            for head in link.heads:
                lines.extend(_branch(_sequence_lines(plan, head), last=head is link.heads[-1]))
        lines.append(_describe(plan, link))
        for side in link.sides:
            lines.extend(_branch(_sequence_lines(plan, side), last=side is link.sides[-1]))
    return lines


def _branch(lines: list[str], *, last: bool) -> list[str]:
    first, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
    return [(first if at == 0 else rest) + line for at, line in enumerate(lines)]


def _sequence_json(plan: Plan, sequence: Sequence) -> JSON:
    return {"chain": [part for link in sequence for part in _link_json(plan, link)]}


def _link_json(plan: Plan, link: Link) -> Iterator[JSON]:
    node = plan.node(link.node)
    body: dict[str, JSON] = {"node": node.name, "task": node.stage, "queue": node.policy.queue}
    if node.mapped:
        body["items"] = node.known_length
    if followed := plan.graph.item_edges.get(node.name):
        body["follows"] = [*followed]
    if node.name in plan.woken:
        body["sent_by_last_of"] = [*sorted(node.needs)]
    if link.sides:
        body["starts"] = [_sequence_json(plan, side) for side in link.sides]
    if link.heads:
        yield {"chord": [_sequence_json(plan, head) for head in link.heads], "body": body}
    else:
        yield body
