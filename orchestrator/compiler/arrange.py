"""Arranges any graph as chains and chords, and finds the nodes that these cannot start.

A node with one need follows it in a chain. A join becomes the body of a chord at the last node that all its
branches share (its dominator), where the branches are free to end in it: a branch can end in one chord only,
and in none if a chord could not count it, as it becomes items on the way. Any other node with several needs,
such as the third edge of an "N" (a→c, a→d, b→d), is *woken*: whoever records the last of its needs sends it,
and what follows it. So each node starts as soon as its own needs are done, and no barrier is added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.compiler.dominance import START, Dominance, dominance
from orchestrator.compiler.plan import Link, Plan, Sequence, chord_body


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
        self._late: dict[NodeName, list[_Branch]] = {}  # joins that a node below starts beside its sequence
        self._work: list[tuple[_Branch, Sequence]] = []

    def plan(self) -> Plan:
        below = self._below(START, None, ended=True)
        roots = tuple(self._sequence(branch) for branch in below.sides)
        while self._work:
            self._fill(*self._work.pop())
        return _untangled(self._graph, roots, self._waits.keys())

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


def _untangled(graph: Graph, roots: Iterable[Sequence], awaiting: Collection[NodeName]) -> Plan:
    """The plan in which each sequence holds only what a chain or a chord can start, or is woken.

    A sequence breaks where a node has needs that its place does not vouch for, and at a join with a branch
    that no chord could count. What comes behind a break is woken; the join's branches start by themselves.
    """
    started: dict[Sequence, list[Sequence]] = {}  # what starts in a sequence's place
    woken: dict[NodeName, Sequence] = {}
    broken: set[Sequence] = set()
    for sequence in reversed(list(_all_of(roots))):  # what is within a sequence comes before it
        pieces, beside = [Sequence()], list[Sequence]()
        for link in sequence.links:
            link.sides = [each for side in link.sides for each in started[side]]
            breaks = link.node in awaiting or not broken.isdisjoint(link.heads)
            if breaks:
                heads, link.heads = [each for head in link.heads for each in started[head]], ()
                (pieces[-1].links[-1].sides if pieces[-1].links else beside).extend(heads)
                pieces.append(Sequence())
            for head in link.heads:
                head.join = link.node
            pieces[-1].links.append(link)
        if len(pieces) > 1 or any(not _counts(graph, *pair) for pair in _pairs(sequence.links)):
            broken.add(sequence)
        sequence.links = pieces[0].links
        woken |= {piece.links[0].node: piece for piece in pieces[1:]}
        started[sequence] = [*([sequence] if sequence.links else []), *beside]
    begun = tuple(each for root in roots for each in started[root])
    places = {
        link.node: (sequence, position)
        for sequence in _all_of([*begun, *woken.values()])
        for position, link in enumerate(sequence.links)
    }
    return Plan(graph, begun, woken, places)


def _all_of(sequences: Iterable[Sequence]) -> Iterator[Sequence]:
    """These sequences, and all within them and beside their nodes; each before what is within it."""
    left = list(sequences)
    while left:
        sequence = left.pop()
        yield sequence
        for link in sequence.links:
            left += [*link.heads, *link.sides]


def _pairs(links: list[Link]) -> Iterator[tuple[Link, Link | None]]:
    return zip_longest(links, links[1:])


def _counts(graph: Graph, link: Link, following: Link | None) -> bool:
    """Whether a chord that a link is a part of counts it: not if it is a map that is no chord itself."""
    return not graph[link.node].mapped or chord_body(graph, link, following) is not None
