"""A pipeline's nodes as the lines of a tree: what runs side by side branches off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.plan import Plan
from orchestrator.compiler.plan import Sequence as Chain


@dataclass(frozen=True)
class OutlineLine:
    """A node, behind the lines of the tree that lead to it."""

    lead: str
    node: NodeName


def outline(graph: Graph) -> tuple[OutlineLine, ...]:
    """The lines in the order in which the nodes run, as far as a list can say so."""
    plan = arrange(graph)
    lines = _side_by_side(plan, plan.roots) if len(plan.roots) > 1 else _chain(plan, plan.roots[0])
    return (*lines, *(OutlineLine("on failure: ", node.name) for node in graph.handlers))


def _chain(plan: Plan, chain: Chain) -> list[OutlineLine]:
    lines: list[OutlineLine] = []
    for link in chain:
        lines += _side_by_side(plan, link.heads)
        lines.append(OutlineLine("", link.node))
        lines += _side_by_side(plan, link.sides)
    return lines


def _side_by_side(plan: Plan, chains: Sequence[Chain]) -> list[OutlineLine]:
    lines: list[OutlineLine] = []
    for chain in chains:
        last = chain is chains[-1]
        for place, line in enumerate(_chain(plan, chain)):
            own = ("└─ " if last else "├─ ") if place == 0 else ("   " if last else "│  ")
            lines.append(OutlineLine(own + line.lead, line.node))
    return lines
