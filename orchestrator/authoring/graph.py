"""A pipeline as data: nodes, what they take from one another, and how each is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, reduce
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from typing import NewType, TypeAlias, cast

from orchestrator.authoring.policies import Policy

NodeName = NewType("NodeName", str)
StageName = NewType("StageName", str)

_LAST_INDEX = re.compile(r"^(?P<head>.+)\[(?P<index>\d+)\](?P<tail>[^\[\]]*)$")
_INDEX = re.compile(r"\[(\d+)\]")
_WITHOUT_INDEX = re.compile(r"^(?P<head>.*?[^\]])(?P<tail>\..*)$")

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

    list: str  #: `<scope>.<parameter>`, then `:<field>` if the list is one of fields of such elements
    path: tuple[str | int, ...] = ()

    @property
    def depth(self) -> int:
        """The place among an item's indexes of that which tells the element, from 1."""
        return depth_of(scope_of(self.list))

    def __str__(self) -> str:
        return ".".join([self.list.rpartition(".")[2].replace(":", "."), *map(str, self.path)])


@dataclass(frozen=True)
class Not:
    """The negation of another node's output, or of an element, a bool."""

    of: Output | Element

    def __str__(self) -> str:
        return f"not {self.of}"


@dataclass(frozen=True)
class FailureOfRun:
    """The `Failure` that an `on_failure` stage takes; made when the run has failed."""


@dataclass(frozen=True)
class Fields:
    """A mapping put together from several inputs: a result with names."""

    items: Mapping[str, Input]


Input: TypeAlias = Constant | Output | Element | Not | Gather | FailureOfRun
Condition: TypeAlias = Output | Element | Not
#: What a pipeline returns, put together from what its stages return.
Result: TypeAlias = Output | Not | Gather | Fields


def outputs_in(value: Input) -> Iterator[Output]:
    """Each output that an input refers to."""
    return (each for each in _parts(value) if isinstance(each, Output))


def elements_in(value: Input) -> Iterator[Element]:
    """Each element of a mapped pipeline's lists that an input refers to."""
    return (each for each in _parts(value) if isinstance(each, Element))


def _parts(value: Input) -> Iterator[Constant | Output | Element | FailureOfRun]:
    """What an input is put together from."""
    match value:
        case Not(of):
            yield of
        case Gather(items):
            for item in items:
                yield from _parts(item)
        case _:
            yield value


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
    `scope[index].stage`. What it takes of a node in the same scope is that of the same copy. If it is mapped
    itself, or that pipeline is called in another mapped one, its items are maps, too:
    `scope[index].stage[index]`.
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
    copies: Mapping[str, int] = field(default_factory=dict)  #: that a mapped pipeline must have, by scope
    after: tuple[NodeName, ...] = ()  #: order without data
    conditions: tuple[Condition, ...] = ()  #: it runs only if all of them are true
    met: frozenset[NodeName] = frozenset()  #: needs that an earlier round of the run has met

    @property
    def scope(self) -> str:
        """The mapped pipeline that calls the stage; empty if none does."""
        return scope_of(self.name)

    @cached_property
    def depth(self) -> int:
        """How many indexes an item that runs has: one for each mapped pipeline around it, and its own."""
        return depth_of(self.scope) + bool(self.varying)

    @property
    def mapped(self) -> bool:
        """Whether the node stands for one item per element of its lists, or per copy of its scope."""
        return self.depth > 0

    @property
    def nested(self) -> bool:
        """Whether items of the map are maps themselves."""
        return self.depth > 1

    @property
    def lists(self) -> Mapping[str, Input]:
        """All lists that a map goes through side by side."""
        return {**self.varying, **self.each}

    @cached_property
    def needs(self) -> frozenset[NodeName]:
        """The nodes that must have succeeded before this one may start."""
        given = [*self.inputs.values(), *self.lists.values(), *self.conditions]
        named = {name for value in given for name in nodes_in(value)}
        return frozenset(named | set(self.after)) - self.met

    def copies_shared(self, name: str) -> int:
        """How many mapped pipelines are around the node and another one: of that, it takes the same copy."""
        return shared_scopes(self.scope, scope_of(name))

    def conditions_at(self, depth: int) -> tuple[Condition, ...]:
        """The conditions of the node as a whole (depth 0), or of its items of a depth."""
        return tuple(condition for condition in self.conditions if self._depth_of(condition) == depth)

    def _depth_of(self, condition: Condition) -> int:
        copies = (self.copies_shared(name) for name in nodes_in(condition))
        elements = (element.depth for element in elements_in(condition))
        return max([0, *copies, *elements])

    def lists_at(self, depth: int) -> Mapping[str, Input]:
        """The lists that items of a depth, maps, go through; none if another node tells their length."""
        if depth == depth_of(self.scope):
            return self.varying
        return {name: value for name, value in self.each.items() if depth_of(scope_of(name)) == depth + 1}

    def goes_through_at(self, depth: int) -> str:
        """What goes through those lists: a mapped pipeline, by its name, or the node itself."""
        return outermost(self.scope, depth + 1) if depth < depth_of(self.scope) else self.name

    def least_at(self, depth: int) -> int:
        """How many items those of a depth, maps themselves, must have."""
        if depth == depth_of(self.scope):
            return self.at_least
        return self.copies.get(outermost(self.scope, depth + 1), 0)

    def indexes_shared(self, source: Node, is_partial: Callable[[NodeName, int], bool]) -> int:
        """How many indexes of an item are those of what it takes of another node.

        Those of the copies that both are in; and that of a list which the other one's items make, unless it
        may leave some out.
        """
        name, copies, own = source.name, self.copies_shared(source.name), depth_of(self.scope)
        through = [(value, own + 1) for value in self.varying.values()]
        through += [(value, depth_of(scope_of(key))) for key, value in self.each.items()]
        found = [copies for value in (*self.inputs.values(), *self.conditions) if name in nodes_in(value)]
        found += [copies] * (name in self.after)
        for value, depth in through:
            if name in nodes_in(value):
                outside = min(copies, depth - 1)
                is_list = isinstance(value, Output) and outside == depth - 1 and source.depth >= depth
                found.append(depth if is_list and not is_partial(name, depth) else outside)
        return min(found)

    @cached_property
    def known_length(self) -> int | None:
        """How many items a map has, where that is known before the run."""
        lengths = map(known_length, self.lists_at(0).values())
        return next((length for length in lengths if length is not None), None)


@dataclass(frozen=True)
class Graph:
    """A pipeline's nodes, in the order written. Acyclic, and each need is one of its nodes."""

    pipeline: str
    nodes: tuple[Node, ...]
    handlers: tuple[Node, ...] = ()  #: run side by side once the run has failed; not among the nodes
    fail_fast: bool = False  #: the first failure stops all other branches
    result: Result | None = None  #: what the pipeline returns
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
    def _shared(self) -> tuple[Mapping[NodeName, Mapping[NodeName, int]], frozenset[tuple[NodeName, int]]]:
        """How many indexes each node shares with each that it needs; and `partial`."""
        if self.whole is not None:
            return self.whole._shared
        shared: dict[NodeName, Mapping[NodeName, int]] = {}
        partial: set[tuple[NodeName, int]] = set()
        for node in map(self.__getitem__, self.order):
            found = {
                name: node.indexes_shared(self[name], lambda *key: key in partial) if node.depth else 0
                for name in sorted(node.needs)
            }
            shared[node.name] = found
            if node.policy.tolerate and node.mapped:
                partial.add((node.name, node.depth))
            for depth in range(1, node.depth + 1):
                behind = any((name, depth) in partial for name, indexes in found.items() if indexes >= depth)
                if behind or node.conditions_at(depth):
                    partial.add((node.name, depth))
        return shared, frozenset(partial)

    def shared(self, name: NodeName, need: NodeName) -> int:
        """How many indexes an item of a node shares with what it takes of one that it needs."""
        return self._shared[0][name][need]

    @property
    def partial(self) -> frozenset[tuple[NodeName, int]]:
        """The maps that may succeed without some of their items of a depth, which their lists leave out."""
        return self._shared[1]

    @cached_property
    def item_edges(self) -> Mapping[NodeName, Mapping[NodeName, int]]:
        """For each map that follows others item by item, those, and how many indexes they share.

        An item waits for the same item of each. It does not follow a map that may leave items out, unless it
        takes the same copy of it: which of its items count is known only at its end.
        """
        found = {}
        for node in self:
            needs = ((name, self.shared(node.name, name)) for name in sorted(node.needs))
            if followed := {name: shared for name, shared in needs if shared}:
                found[node.name] = followed
        return found

    @cached_property
    def item_followers(self) -> Mapping[NodeName, Mapping[NodeName, int]]:
        """For each map that others follow item by item, those, and how many indexes they share."""
        found: dict[NodeName, dict[NodeName, int]] = {}
        for name, maps in self.item_edges.items():
            for each, shared in maps.items():
                found.setdefault(each, {})[name] = shared
        return found

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
        if self.result is not None:
            plain["result"] = _result_to_json(self.result)
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
            result=_result_from_json(plain["result"]) if "result" in plain else None,
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


@lru_cache(maxsize=1024)
def shared_scopes(scope: str, other: str) -> int:
    """How many mapped pipelines two scopes have in common."""
    pairs = zip(scope.split("."), other.split("."), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1] != "", pairs))


def outermost(scope: str, depth: int) -> str:
    """So many of the mapped pipelines that a scope stands for."""
    return ".".join(scope.split(".")[:depth])


def depth_of(scope: str) -> int:
    """How many mapped pipelines a scope stands for."""
    return scope.count(".") + 1 if scope else 0


def item_name(map: NodeName, index: int) -> NodeName:
    """The name of an item: `fit[3]`, in a mapped pipeline `train_one[3].fit`, and `train_one[3].fit[0]`."""
    scope = _WITHOUT_INDEX.match(map)
    return NodeName(f"{scope['head']}[{index}]{scope['tail']}" if scope else f"{map}[{index}]")


def item_at(node: NodeName, indexes: Iterable[int]) -> NodeName:
    """The item of a node with these indexes; the node itself without any."""
    return reduce(item_name, indexes, node)


def group_and_index(name: str) -> tuple[NodeName, int | None]:
    """The map that an item belongs to, and the item's index; a node's own name, and None."""
    item = _LAST_INDEX.match(name)
    return (NodeName(item["head"] + item["tail"]), int(item["index"])) if item else (NodeName(name), None)


def indexes_of(name: str) -> tuple[int, ...]:
    """The indexes of an item; none of a node's own name."""
    return tuple(map(int, _INDEX.findall(name)))


def node_of(name: str) -> NodeName:
    """The node that an item, or an item of an item, belongs to; its own name for any other."""
    return NodeName(_INDEX.sub("", name))


def with_groups(name: NodeName) -> Iterator[NodeName]:
    """A name, and those of the maps that it is an item of, the innermost first."""
    yield name
    group, index = group_and_index(name)
    if index is not None:
        yield from with_groups(group)


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


def _result_to_json(result: Result) -> JSON:
    if isinstance(result, Fields):
        return {"fields": {name: _input_to_json(value) for name, value in result.items.items()}}
    return _input_to_json(result)


def _result_from_json(plain: JSON) -> Result:
    match plain:
        case {"fields": dict(fields)}:
            return Fields({name: _input_from_json(value) for name, value in fields.items()})
    return cast("Result", _input_from_json(plain))


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
    if node.copies:
        plain["copies"] = dict(node.copies)
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
        copies=cast("dict[str, int]", plain.get("copies", {})),
        after=tuple(NodeName(str(name)) for name in cast("list[JSON]", plain.get("after", []))),
        conditions=tuple(cast("Condition", _input_from_json(condition)) for condition in conditions),
    )
