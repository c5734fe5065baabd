"""Arranges any graph as chains and chords, and finds the needs that have to be awaited by parking.

A node with one need follows it in a chain. A join becomes the body of a chord at the last node that all its
branches share (its dominator), where the branches are free to end in it: a branch can end in one chord only.
What then remains, such as the third edge of an "N" (a→c, a→d, b→d), is a *wait*: the node is started by one
need, and a worker that gets it early parks it until the others are there. So each node starts as soon as
its own needs are done, and no barrier is added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.compiler.dominance import START, Dominance, dominance
from orchestrator.compiler.plan import Link, Plan, Sequence


@dataclass
class _Branch:
    """A sequence in the making: nodes below one dominator, the end of each section where the next goes on."""

    sections: list[_Section]
    taken: bool = False  #: it is a head of a chord

    @property
    def end(self) -> _Section:
        return self.sections[-1]

    @property
    def open(self) -> bool:
        return not self.taken and self.end.target is None


@dataclass
class _Section:
    """A stretch of a sequence: from `node` down to `target`, which `node` is or dominates."""

    node: NodeName
    heads: list[_Branch] = field(default_factory=list)
    target: NodeName | None = None  #: None: it may end anywhere


@dataclass
class _Arrangement:
    """What was found below one node: how its sequence goes on, and what it starts beside it."""

    onward: _Branch | None
    sides: list[_Branch]


def arrange(graph: Graph) -> Plan:
    """The canvas of a graph."""
    return _Arranger(graph).plan()


class _Arranger:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._facts: Dominance = dominance(graph)
        self._waits: dict[NodeName, tuple[NodeName, ...]] = {}
        self._places: dict[NodeName, tuple[Sequence, int]] = {}
        self._late: dict[NodeName, list[_Branch]] = {}  # joins that a node below starts beside its sequence
        self._work: list[tuple[_Branch, Sequence]] = []

    def plan(self) -> Plan:
        below = self._below(START, None, ended=True)
        roots = tuple(self._sequence(branch) for branch in below.sides)
        while self._work:
            self._fill(*self._work.pop())
        return Plan(self._graph, roots, self._waits, self._places)

    def _sequence(self, branch: _Branch) -> Sequence:
        sequence = Sequence()
        self._work.append((branch, sequence))
        return sequence

    def _fill(self, branch: _Branch, sequence: Sequence) -> None:
        """Write a branch out as a sequence, from its first section down to where the last one ends."""
        sections = list(reversed(branch.sections))
        while sections:
            section = sections.pop()
            heads = tuple(self._sequence(head) for head in section.heads)
            link = Link(section.node, heads)
            self._places[section.node] = (sequence, len(sequence.links))
            sequence.links.append(link)
            below = self._below(section.node, section.target, ended=section.node == section.target)
            if below.onward is not None:
                if section.target is not None:
                    below.onward.end.target = section.target
                sections.extend(reversed(below.onward.sections))
            link.sides.extend(self._sequence(side) for side in below.sides)

    def _below(self, name: NodeName, target: NodeName | None, *, ended: bool) -> _Arrangement:
        """Arrange the nodes whose dominator is `name`; the sequence goes on towards `target`."""
        onward = None if target is None or ended else self._facts.branch(name, target)
        branches: dict[NodeName, _Branch] = {}
        for child in self._facts.children[name]:
            if self._facts.needs[child] == (name,):
                branches[child] = _Branch([_Section(child)])
            else:
                self._join(name, child, branches, reserved=onward)
        started = [*_distinct(branches.values()), *self._late.pop(name, [])]
        if onward is not None:
            main = branches[onward]
            return _Arrangement(main, [branch for branch in started if branch is not main])
        if len(started) == 1 and not ended:
            return _Arrangement(started[0], [])
        return _Arrangement(None, started)

    def _join(
        self, above: NodeName, join: NodeName, branches: dict[NodeName, _Branch], reserved: NodeName | None
    ) -> None:
        """Place a node with several needs: as a chord's body, behind one branch, or beside one need."""
        ends: dict[NodeName, NodeName] = {}
        for need in self._facts.needs[join]:
            ends[self._facts.branch(above, need)] = need
        free = [
            child
            for child in ends
            if child != reserved and child in branches and self._ends_in(branches[child], child)
        ]
        self._await(join, [need for need in self._facts.needs[join] if need not in map(ends.get, free)])
        for child in free:
            branches[child].end.target = ends[child]
        if len(free) > 1:
            heads = [branches[child] for child in free]
            for head in heads:
                head.taken = True
            branches[join] = _Branch([_Section(join, heads)])
        elif free:
            branches[join] = branches[free[0]]
            branches[join].sections.append(_Section(join))
        elif join == reserved:
            self._await(join, self._facts.needs[join])
            branches[join] = _Branch([_Section(join)])
        else:
            last = max(self._facts.needs[join], key=self._facts.rank.__getitem__)
            self._await(join, [need for need in self._facts.needs[join] if need != last])
            branches[join] = _Branch([_Section(join)], taken=True)
            self._late.setdefault(last, []).append(branches[join])

    def _ends_in(self, branch: _Branch, child: NodeName) -> bool:
        return branch.open and branch.end.node == child

    def _await(self, name: NodeName, needs: Iterable[NodeName]) -> None:
        awaited = tuple(needs)
        if awaited:
            self._waits[name] = awaited
        else:
            self._waits.pop(name, None)


def _distinct(branches: Iterable[_Branch]) -> list[_Branch]:
    seen = {id(branch): branch for branch in branches if not branch.taken}
    return list(seen.values())
