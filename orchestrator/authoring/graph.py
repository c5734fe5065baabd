"""A pipeline as data: nodes, what they take from one another, and how each is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import NewType, TypeAlias, cast

from orchestrator.authoring.policies import Policy

NodeName = NewType("NodeName", str)
StageName = NewType("StageName", str)

_ITEM = re.compile(r"^(?P<head>.+)\[(?P<index>\d+)\](?P<tail>[^\[\]]*)$")

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None


@dataclass(frozen=True)
class Constant:
    """A value known when the pipeline is submitted, as JSON."""

    value: JSON


@dataclass(frozen=True)
class Output:
    """Another node's output, or the part of it that `path` (fields, indexes) leads to."""

    node: NodeName
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return ".".join([self.node, *map(str, self.path)])


@dataclass(frozen=True)
class Gather:
    """A list put together from several inputs: a fan-in."""

    items: tuple[Input, ...]


@dataclass(frozen=True)
class Element:
    """What a copy of a mapped pipeline is given: the element of a list of `Node.each`, or a part of it."""

    list: str  #: `<scope>.<parameter>`
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return ".".join([self.list.rpartition(".")[2], *map(str, self.path)])


@dataclass(frozen=True)
class Not:
    """The negation of another node's output, or of an element, a bool."""

    of: Output | Element

    def __str__(self) -> str:
        return f"not {self.of}"


@dataclass(frozen=True)
class FailureOfRun:
    """The `Failure` that an `on_failure` stage takes; made when the run has failed."""


Input: TypeAlias = Constant | Output | Element | Not | Gather | FailureOfRun
Condition: TypeAlias = Output | Element | Not


def outputs_in(value: Input) -> Iterator[Output]:
    """Each output that an input refers to."""
    match value:
        case Output():
            yield value
        case Not(of):
            yield from outputs_in(of)
        case Gather(items):
            for item in items:
                yield from outputs_in(item)
        case Constant() | Element() | FailureOfRun():
            return


def elements_in(value: Input) -> Iterator[Element]:
    """Each element of a mapped pipeline's lists that an input refers to."""
    match value:
        case Element():
            yield value
        case Not(of):
            yield from elements_in(of)
        case Gather(items):
            for item in items:
                yield from elements_in(item)
        case Constant() | Output() | FailureOfRun():
            return


def nodes_in(value: Input) -> Iterator[NodeName]:
    """The node of each output that an input refers to."""
    return (output.node for output in outputs_in(value))


def known_length(value: Input) -> int | None:
    """How many elements an input has, where that is known before the run."""
    match value:
        case Gather(items):
            return len(items)
        case Constant(list() as items):
            return len(items)
    return None


def item_of(value: Input, index: int) -> Input | None:
    """What one item of a map takes of a list that is written into the run; None for other inputs."""
    match value:
        case Constant(list() as items):
            return Constant(items[index])
        case Gather(items):
            return items[index]
    return None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One use of a stage in one graph.

    A stage that a mapped pipeline calls is a map, too: it has one item for each copy of that pipeline. Its
    scope is the pipeline's name, its own name begins with that, and those of its items are
    `scope[index].stage`. What it takes of a node in the same scope is that of the same copy.
    """

    name: NodeName
    stage: StageName
    policy: Policy
    inputs: Mapping[str, Input] = field(default_factory=dict)
    varying: Mapping[str, Input] = field(default_factory=dict)  #: inputs that a map takes one item each from
    #: Lists of a mapped pipeline, by `<scope>.<parameter>`, where no other node of the scope tells their
    #: length, or where it takes of their elements.
    each: Mapping[str, Input] = field(default_factory=dict)
    at_least: int = 0  #: items that a map must have
    after: tuple[NodeName, ...] = ()  #: order without data
    conditions: tuple[Condition, ...] = ()  #: it runs only if all of them are true
    met: frozenset[NodeName] = frozenset()  #: needs that an earlier round of the run has met

    @property
    def scope(self) -> str:
        """The mapped pipeline that calls the stage; empty if none does."""
        return scope_of(self.name)

    @property
    def mapped(self) -> bool:
        """Whether the node stands for one item per element of its lists, or per copy of its scope."""
        return bool(self.varying or self.scope)

    @property
    def lists(self) -> Mapping[str, Input]:
        """All lists that a map goes through side by side."""
        return {**self.varying, **self.each}

    @cached_property
    def needs(self) -> frozenset[NodeName]:
        """The nodes that must have succeeded before this one may start."""
        given = [*self.inputs.values(), *self.lists.values(), *self.conditions]
        named = {output.node for value in given for output in outputs_in(value)}
        return frozenset(named | set(self.after)) - self.met

    @cached_property
    def zipped(self) -> frozenset[NodeName]:
        """The nodes of which each item of a map takes the element of its index, or its copy, but no more."""
        beside = {name for name in self.needs | self.met if self.is_beside(name)}
        taken = {value.node for value in self.lists.values() if isinstance(value, Output)}
        others = [value for value in self.lists.values() if not isinstance(value, Output)]
        whole = [*self.inputs.values(), *self.conditions, *others]
        return frozenset(taken - {output.node for value in whole for output in outputs_in(value)}) | beside

    def is_beside(self, name: str) -> bool:
        """Whether a node is in the same mapped pipeline: what is taken of it is that of the same copy."""
        return bool(self.scope) and scope_of(name) == self.scope

    @cached_property
    def item_conditions(self) -> tuple[Condition, ...]:
        """The conditions that hold, or not, for each item."""
        return tuple(condition for condition in self.conditions if self._is_of_item(condition))

    @cached_property
    def whole_conditions(self) -> tuple[Condition, ...]:
        """The conditions of the node as a whole."""
        return tuple(condition for condition in self.conditions if not self._is_of_item(condition))

    def _is_of_item(self, condition: Condition) -> bool:
        beside = any(self.is_beside(output.node) for output in outputs_in(condition))
        return beside or any(elements_in(condition))

    @cached_property
    def known_length(self) -> int | None:
        """How many items a map has, where that is known before the run."""
        lengths = map(known_length, self.lists.values())
        return next((length for length in lengths if length is not None), None)


@dataclass(frozen=True)
class Graph:
    """A pipeline's nodes, in the order written. Acyclic, and each need is one of its nodes."""

    pipeline: str
    nodes: tuple[Node, ...]
    handlers: tuple[Node, ...] = ()  #: run side by side once the run has failed; not among the nodes
    fail_fast: bool = False  #: the first failure stops all other branches
    whole: Graph | None = field(
        default=None, compare=False, repr=False
    )  #: that of which this is what is left

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def everything(self) -> tuple[Node, ...]:
        """The nodes, and those that run only when the run has failed."""
        return (*self.nodes, *self.handlers)

    @cached_property
    def _by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.everything}

    @cached_property
    def order(self) -> tuple[NodeName, ...]:
        """The nodes so that each comes after all it needs."""
        return tuple(TopologicalSorter({node.name: sorted(node.needs) for node in self}).static_order())

    @cached_property
    def successors(self) -> Mapping[NodeName, tuple[NodeName, ...]]:
        """For each node, the nodes that need it, in the order written."""
        found: dict[NodeName, list[NodeName]] = {node.name: [] for node in self.everything}
        for node in self:
            for need in sorted(node.needs):
                found[need].append(node.name)
        return {name: tuple(names) for name, names in found.items()}

    @cached_property
    def item_edges(self) -> Mapping[NodeName, tuple[NodeName, ...]]:
        """For each map that follows others item by item, those: an item waits for the same item of each.

        Not behind a map that may leave items out, unless it is in the same mapped pipeline: which of its
        items count is known only at its end.
        """
        found = {}
        for node in self:
            ordered = {name for name in node.after if not node.is_beside(name)}
            sources = map(self.__getitem__, sorted(node.zipped - node.met - ordered))
            maps = (each.name for each in sources if each.mapped)
            if followed := tuple(each for each in maps if each not in self.partial or node.is_beside(each)):
                found[node.name] = followed
        return found

    @cached_property
    def partial(self) -> frozenset[NodeName]:
        """The maps that may succeed without some of their items, which are then left out of the list."""
        if self.whole is not None:
            return self.whole.partial
        found: set[NodeName] = set()
        for node in map(self.__getitem__, self.order):
            behind = any(node.is_beside(name) for name in found & node.needs)
            if node.mapped and (node.policy.tolerate or node.item_conditions or behind):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def item_followers(self) -> Mapping[NodeName, tuple[NodeName, ...]]:
        """For each map that others follow item by item, those."""
        found: dict[NodeName, list[NodeName]] = {}
        for name, maps in self.item_edges.items():
            for each in maps:
                found.setdefault(each, []).append(name)
        return {name: tuple(names) for name, names in found.items()}

    def descendants(self, name: NodeName) -> tuple[NodeName, ...]:
        """All nodes that need `name`, directly or not."""
        return _reached(name, self.successors.__getitem__)

    def behind_an_item(self, name: NodeName) -> tuple[NodeName, ...]:
        """All nodes that cannot run once an item of a map has failed: without maps that follow item by item.

        Of those only the same item cannot run, unless they need something else that cannot.
        """
        followers = dict.fromkeys([name, *_reached(name, lambda each: self.item_followers.get(each, ()))])
        needing = (
            other
            for each in followers
            for other in self.successors[each]
            if other not in self.item_followers.get(each, ())
        )
        return tuple(dict.fromkeys(found for other in needing for found in (other, *self.descendants(other))))

    def ancestors(self, name: NodeName) -> tuple[NodeName, ...]:
        """All nodes that `name` needs, directly or not."""
        return _reached(name, lambda each: self[each].needs)

    def without(self, done: frozenset[NodeName]) -> Graph:
        """What is left of the graph once some of its nodes are done."""
        left = (replace(node, met=node.needs & done) for node in self if node.name not in done)
        return replace(self, nodes=tuple(left), whole=self.whole or self) if done else self

    @property
    def queues(self) -> frozenset[str]:
        """The queues that a run of this graph needs workers on."""
        return frozenset(node.policy.queue for node in self.everything)

    def to_json(self) -> dict[str, JSON]:
        """The graph as plain JSON; `from_json` is its inverse."""
        plain: dict[str, JSON] = {"pipeline": self.pipeline, "nodes": [_node_to_json(node) for node in self]}
        if self.handlers:
            plain["on_failure"] = [_node_to_json(node) for node in self.handlers]
        if self.fail_fast:
            plain["fail_fast"] = True
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> Graph:
        """A graph from what `to_json` gave."""
        nodes = cast("list[dict[str, JSON]]", plain["nodes"])
        handlers = cast("list[dict[str, JSON]]", plain.get("on_failure", []))
        return cls(
            str(plain["pipeline"]),
            tuple(_node_from_json(node) for node in nodes),
            tuple(_node_from_json(node) for node in handlers),
            fail_fast=bool(plain.get("fail_fast", False)),
        )


def _reached(name: NodeName, following: Callable[[NodeName], Iterable[NodeName]]) -> tuple[NodeName, ...]:
    seen: dict[NodeName, None] = {}
    stack = list(following(name))
    while stack:
        current = stack.pop()
        if current not in seen:
            seen[current] = None
            stack.extend(following(current))
    return tuple(seen)


def scope_of(name: str) -> str:
    """The mapped pipeline that a node is a part of; empty if it is of none."""
    return name.rpartition(".")[0]


def item_name(node: NodeName, index: int) -> NodeName:
    """The name of one item of a map: `fit[3]`, and in a mapped pipeline `train_one[3].fit`."""
    head, dot, tail = node.partition(".")
    return NodeName(f"{head}[{index}]{dot}{tail}")


def group_and_index(name: str) -> tuple[NodeName, int | None]:
    """The map that an item belongs to, and the item's index; a node's own name, and None."""
    item = _ITEM.match(name)
    return (NodeName(item["head"] + item["tail"]), int(item["index"])) if item else (NodeName(name), None)


def find_cycle(nodes: Iterable[Node]) -> tuple[NodeName, ...] | None:
    """The names along one cycle, first and last the same, or None."""
    try:
        TopologicalSorter({node.name: sorted(node.needs) for node in nodes}).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return None


def _input_to_json(value: Input) -> JSON:
    match value:
        case Constant(constant):
            return {"constant": constant}
        case Output(node, path):
            return {"output": [node, *path]}
        case Element(taken_from, path):
            return {"element": [taken_from, *path]}
        case Not(output):
            return {"not": _input_to_json(output)}
        case Gather(items):
            return {"gather": [_input_to_json(item) for item in items]}
        case FailureOfRun():
            return {"failure": None}


def _input_from_json(plain: JSON) -> Input:
    tagged = cast("dict[str, JSON]", plain)
    ((kind, value),) = tagged.items()
    match kind:
        case "constant":
            return Constant(value)
        case "output":
            node, *path = cast("list[str | int]", value)
            return Output(NodeName(str(node)), tuple(path))
        case "element":
            taken_from, *path = cast("list[str | int]", value)
            return Element(str(taken_from), tuple(path))
        case "not":
            return Not(cast("Output | Element", _input_from_json(value)))
        case "gather":
            return Gather(tuple(_input_from_json(item) for item in cast("list[JSON]", value)))
        case "failure":
            return FailureOfRun()
    raise ValueError(f"unknown kind of input: {kind}")


def _node_to_json(node: Node) -> dict[str, JSON]:
    plain: dict[str, JSON] = {"name": node.name, "stage": node.stage}
    plain["policy"] = cast("JSON", node.policy.to_json())
    if node.inputs:
        plain["inputs"] = {name: _input_to_json(value) for name, value in node.inputs.items()}
    if node.varying:
        plain["varying"] = {name: _input_to_json(value) for name, value in node.varying.items()}
    if node.each:
        plain["each"] = {name: _input_to_json(value) for name, value in node.each.items()}
    if node.at_least:
        plain["at_least"] = node.at_least
    if node.after:
        plain["after"] = list(node.after)
    if node.conditions:
        plain["conditions"] = [_input_to_json(condition) for condition in node.conditions]
    return plain


def _node_from_json(plain: Mapping[str, JSON]) -> Node:
    inputs = cast("dict[str, JSON]", plain.get("inputs", {}))
    varying = cast("dict[str, JSON]", plain.get("varying", {}))
    each = cast("dict[str, JSON]", plain.get("each", {}))
    conditions = cast("list[JSON]", plain.get("conditions", []))
    return Node(
        name=NodeName(str(plain["name"])),
        stage=StageName(str(plain["stage"])),
        policy=Policy.from_json(cast("dict[str, object]", plain["policy"])),
        inputs={name: _input_from_json(value) for name, value in inputs.items()},
        varying={name: _input_from_json(value) for name, value in varying.items()},
        each={name: _input_from_json(value) for name, value in each.items()},
        at_least=cast("int", plain.get("at_least", 0)),
        after=tuple(NodeName(str(name)) for name in cast("list[JSON]", plain.get("after", []))),
        conditions=tuple(cast("Condition", _input_from_json(condition)) for condition in conditions),
    )
