"""A run as HTML for a notebook: its graph, the states of its nodes, and what came out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.authoring.graph import Node as GraphNode
from orchestrator.authoring.masking import mask_text
from orchestrator.client.formatting import ICONS, date_and_time, elapsed, plain, shortened, state_label
from orchestrator.client.groups import Group, grouped
from orchestrator.client.results import headline_results, labels_in_words
from orchestrator.client.run_lookup import KnownRun
from orchestrator.runs.record import NodeRecord
from orchestrator.runs.states import NodeState

#: Pixels: a box, the gaps between boxes, and the widest text in one (characters).
WIDTH, HEIGHT, GAP_X, GAP_Y, LETTERS = 128, 38, 28, 14, 17
#: Graphs of more nodes are not drawn, and no more rows are listed.
DRAWN, LISTED = 60, 100
#: Characters of a result or an error.
SHOWN = 300

#: Colours that read on a light and on a dark page.
COLOURS: Mapping[str, str] = {
    "waiting": "#8a8f98",
    "pending": "#b7791f",
    "queued": "#b7791f",
    "running": "#2b7de9",
    "retrying": "#c05621",
    "succeeded": "#2f9e54",
    "failed": "#d64545",
    "skipped": "#8a8f98",
    "upstream_failed": "#d64545",
    "cancelled": "#9f5fc0",
    "unfinished": "#9f5fc0",
}


def run_as_html(known: KnownRun, *, notes: Sequence[str] = ()) -> str:
    """The run as one block of HTML, with its styles in it; everything in it is escaped."""
    record, groups = known.record, grouped(known.record.nodes)
    parts = [
        _heading(known),
        *(_line(title, text) for title, text in labels_in_words(record.labels)),
        _line("started", date_and_time(record.started or record.submitted)),
        _line("parameters", "  ".join(f"{name}={plain(value)}" for name, value in record.parameters.items())),
        _graph(known.graph, groups) if 0 < len(known.graph) <= DRAWN else "",
        _table(groups.values()),
        "".join(_line(name, text) for name, text in headline_results(record, known.graph)),
        "".join(_line(name, text) for name, text in _failures(record.nodes)),
        "".join(_line("", note) for note in notes),
    ]
    return (
        f'<div style="font-family:system-ui,sans-serif;font-size:13px;line-height:1.5">{"".join(parts)}</div>'
    )


def _heading(known: KnownRun) -> str:
    record = known.record
    took = elapsed(record.started, record.ended)
    after = f" in {took}" if took else ""
    run = f"<code>{escape(record.id)}</code>"
    return f"<div><b>{escape(record.pipeline)}</b> {_state(known.state)}{after} {run}</div>"


def _state(state: str) -> str:
    return f'<span style="color:{COLOURS[state]}">{ICONS[state]} {escape(state_label(state))}</span>'


def _line(name: str, text: str) -> str:
    if not text:
        return ""
    shown = escape(shortened(mask_text(text), SHOWN))
    return f'<div><span style="opacity:.65">{escape(name)}</span> {shown}</div>'


def _failures(nodes: Sequence[NodeRecord]) -> Iterator[tuple[str, str]]:
    failed = [node for node in nodes if node.state is NodeState.FAILED]
    for node in failed[:3]:
        yield node.name, (node.error or "").strip()
    if len(failed) > 3:
        yield "", f"and {len(failed) - 3} more failures"


def _table(groups: Iterable[Group]) -> str:
    rows = []
    for group in list(groups)[:LISTED]:
        state = group.state.value
        told = group.progress if group.mapped else state_label(state)
        told = "reused" if not group.mapped and group.records[0].reused else told
        cells = (escape(group.name), f'<span style="color:{COLOURS[state]}">{escape(told)}</span>')
        took = elapsed(group.started, group.ended)
        rows.append(
            "".join(f'<td style="text-align:left;padding:0 1.2em 0 0">{cell}</td>' for cell in (*cells, took))
        )
    if not rows:
        return ""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<table style="margin:.4em 0;border-collapse:collapse;font-size:13px"><tbody>{body}</tbody></table>'
    )


def _graph(graph: Graph, groups: Mapping[str, Group]) -> str:
    places = _places(graph)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    width, height = columns * (WIDTH + GAP_X) - GAP_X + 2, rows * (HEIGHT + GAP_Y) - GAP_Y + 2
    edges = "".join(
        _edge(places[need], places[node.name]) for node in graph for need in _drawn_needs(graph, node)
    )
    boxes = "".join(_box(name, place, groups.get(name)) for name, place in places.items())
    return (
        f'<div style="overflow-x:auto"><svg role="img" aria-label="graph of {escape(graph.pipeline)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="margin:.4em 0;font:12px system-ui,sans-serif">{edges}{boxes}</svg></div>'
    )


def _drawn_needs(graph: Graph, node: GraphNode) -> Iterator[NodeName]:
    """The needs of a node that do not follow from its other needs."""
    implied = {above for need in node.needs for above in graph.ancestors(need)}
    return (need for need in sorted(node.needs) if need not in implied)


def _places(graph: Graph) -> dict[NodeName, tuple[int, int]]:
    """Column and row of each node: behind all it needs, near to them."""
    columns: dict[NodeName, int] = {}
    for name in graph.order:
        columns[name] = 1 + max((columns[need] for need in graph[name].needs), default=-1)
    places: dict[NodeName, tuple[int, int]] = {}
    for column in range(1 + max(columns.values())):
        here = [node.name for node in graph if columns[node.name] == column]

        def height(name: NodeName) -> float:
            above = [places[need][1] for need in graph[name].needs]
            return sum(above) / len(above) if above else 0.0

        for row, name in enumerate(sorted(here, key=height)):
            places[name] = (column, row)
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return place[0] * (WIDTH + GAP_X) + 1, place[1] * (HEIGHT + GAP_Y) + 1


def _edge(source: tuple[int, int], target: tuple[int, int]) -> str:
    (left, top), (right, below) = _corner(source), _corner(target)
    start, end = (left + WIDTH, top + HEIGHT // 2), (right, below + HEIGHT // 2)
    bend, middle = end[0] - GAP_X, end[0] - GAP_X // 2  # past the boxes of the columns between
    path = f"M{start[0]},{start[1]} H{bend} C{middle},{start[1]} {middle},{end[1]} {end[0]},{end[1]}"
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".35"/>'


def _box(name: NodeName, place: tuple[int, int], group: Group | None) -> str:
    left, top = _corner(place)
    state = group.state.value if group is not None else "waiting"
    told = group.progress if group is not None and group.mapped else state_label(state)
    colour = COLOURS[state]
    return (
        f"<g><title>{escape(name)}: {escape(told)}</title>"
        f'<rect x="{left}" y="{top}" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="6" '
        f'fill="{colour}" fill-opacity=".12" stroke="{colour}"/>'
        f'<text x="{left + 9}" y="{top + 15}" fill="currentColor">{escape(shortened(name, LETTERS))}</text>'
        f'<text x="{left + 9}" y="{top + 29}" fill="{colour}" font-size="11">'
        f"{ICONS[state]} {escape(shortened(told, LETTERS))}</text></g>"
    )
