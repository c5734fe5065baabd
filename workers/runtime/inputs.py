"""Load the arguments of a node's function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from orchestrator.artifacts import AlteredArtifact, MissingArtifact, decode
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.annotations import element_of, hints_of, part_of
from orchestrator.authoring.errors import UnevenMap
from orchestrator.authoring.failure import FailedNode, Failure
from orchestrator.authoring.graph import (
    JSON,
    Constant,
    Element,
    FailureOfRun,
    Gather,
    Input,
    Not,
    Output,
    item_at,
    item_of,
)
from orchestrator.authoring.parameters import parse_value
from orchestrator.authoring.stage import stages
from orchestrator.authoring.table import narrowed
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import NodeState
from workers.runtime.errors import MissingOutput
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext


def load_inputs(
    ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int
) -> dict[str, object]:
    """Load the arguments of a node that was claimed at a time, by parameter name."""
    hints = hints_of(stages[ref.node.stage].function)
    loader, node = _Loader(ref, context, resources, as_of), ref.node
    arguments = {name: loader.load(value, hints.get(name, object)) for name, value in node.inputs.items()}
    for name, value in node.varying.items():
        arguments[name] = loader.element(value, node.depth, hints.get(name, object))
    return arguments


def small_inputs(ref: NodeRef) -> dict[str, JSON]:
    """Return the arguments that are constants in the graph; MLflow shows them as parameters."""
    given = {name: _of_item(ref, value) for name, value in ref.node.inputs.items()}
    if not ref.is_map:
        given |= {name: item_of(value, ref.indexes[-1]) for name, value in ref.node.varying.items()}
    return {name: value.value for name, value in given.items() if isinstance(value, Constant)}


def _of_item(ref: NodeRef, value: Input) -> Input | None:
    """Return what an item takes where that is an element of a list that is written into the run."""
    if isinstance(value, Element) and not ref.is_map:
        return item_of(ref.node.each[value.list], ref.indexes[value.depth - 1])
    return value


def conditions_hold(ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int) -> bool:
    """Whether the conditions of a node are true, or those that an item has for itself."""
    if not ref.node.conditions:
        return True
    loader = _Loader(ref, context, resources, as_of)
    return all(loader.load(condition, object) for condition in ref.node.conditions_at(ref.depth))


def count_items(ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int) -> int:
    """Count the items of a map whose inputs are available. Raises UnevenMap if the lists differ in length."""
    loader, lists = _Loader(ref, context, resources, as_of), ref.node.lists_at(ref.depth)
    lengths = {name.rpartition(".")[2]: loader.length(value, ref.depth + 1) for name, value in lists.items()}
    if len(set(lengths.values())) > 1:
        raise UnevenMap.of(ref.node.goes_through_at(ref.depth), lengths)
    if lengths:
        return next(iter(lengths.values()))
    edges = context.graph.item_edges[ref.node.name].items()
    told = next(name for name, shared in edges if shared > ref.depth)
    return resources.runs.items(context.run, item_at(told, ref.indexes))


def input_trees(
    value: Output, ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int
) -> list[Tree]:
    """Return the stored trees of the output that an input refers to; of a map as a whole, one per item."""
    return _Loader(ref, context, resources, as_of).trees(value)


def element_trees(
    value: Output, depth: int, ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int
) -> list[Tree] | None:
    """Return the stored trees of the element of a list; None if that is a part of one output."""
    loader = _Loader(ref, context, resources, as_of)
    item = loader.item_in(value, depth)
    return None if item is None else [loader.tree(each) for each in loader.parts(item)]


class _Loader:
    def __init__(self, ref: NodeRef, context: RunContext, resources: WorkerResources, as_of: int) -> None:
        self._ref = ref
        self._context = context
        self._resources = resources
        #: Maps that may still go on, of which items were committed by `as_of`.
        self._followed = context.followed(ref)
        self._as_of = as_of

    def load(self, value: Input, hint: object) -> object:
        match value:
            case Constant(constant):
                return parse_value(constant, hint)
            case Gather(items):
                return [self.load(item, element_of(hint)) for item in items]
            case Output():
                return self._load(self._source(value), value, hint)
            case Element(taken_from, path):
                return self.element(self._ref.node.each[taken_from], value.depth, hint, path)
            case Not(of):
                return not self.load(of, hint)
            case FailureOfRun():
                return _failure_of(self._context, self._resources)

    def _load(self, ref: NodeRef, output: Output, hint: object) -> object:
        """Load a node's output, or a list of those of a map's items."""
        if ref.is_map:
            return [self._load(item, output, element_of(hint)) for item in self._items(ref)]
        return self._decode(ref, output, hint)

    def element(self, value: Input, depth: int, hint: object, path: tuple[str | int, ...] = ()) -> object:
        """Load the element of a list that the item takes by its index of a depth, or a part of it."""
        index = self._ref.indexes[depth - 1]
        element = item_of(value, index)
        if element is not None:
            return self.load(element, hint)
        if not isinstance(value, Output):
            whole = self.load(value, object if path else list[hint])  # type: ignore[valid-type]
            return narrowed(part_of(cast("list[object]", whole)[index], path), hint)
        item = self.item_in(value, depth)
        if item is not None:
            return self._load(item, Output(value.node, (*value.path, *path)), hint)
        part = Output(value.node, (*value.path, index, *path))
        return self._decode(self._source(value), part, hint)

    def item_in(self, value: Output, depth: int) -> NodeRef | None:
        """The item of a map that is the element of a list; None if the list is one output."""
        source, index = self._source(value, depth - 1), self._ref.indexes[depth - 1]
        if not source.is_map:
            return None
        return source.item(self._indexes(source)[index] if self._is_partial(source) else index)

    def tree(self, ref: NodeRef) -> Tree:
        if ref.depth and self._followed.get(ref.node.name, 0) >= ref.depth:
            return self._resources.item_output(self._context, ref, as_of=self._as_of)
        return self._resources.output(self._context, ref)

    def trees(self, value: Output) -> list[Tree]:
        return [self.tree(ref) for ref in self.parts(self._source(value))]

    def parts(self, ref: NodeRef) -> Iterator[NodeRef]:
        """A node, or the items of a map, and of those that are maps theirs."""
        if not ref.is_map:
            yield ref
            return
        for item in self._items(ref):
            yield from self.parts(item)

    def length(self, value: Input, depth: int) -> int:
        match value:
            case Constant(list() as items):
                return len(items)
            case Gather(items):
                return len(items)
            case Output() if (source := self._source(value, depth - 1)).is_map:
                return len(self._indexes(source))
        return len(cast("list[object]", self.load(value, object)))

    def _source(self, output: Output, most: int | None = None) -> NodeRef:
        """The node of an output, or what the same copy has of it; by `most` so many indexes."""
        shared = self._ref.node.copies_shared(output.node)
        indexes = self._ref.indexes[: shared if most is None else min(shared, most)]
        return self._context.node_ref(item_at(output.node, indexes))

    def _is_partial(self, map: NodeRef) -> bool:
        return (map.node.name, map.depth + 1) in self._context.graph.partial

    def _items(self, map: NodeRef) -> Iterator[NodeRef]:
        return (map.item(index) for index in self._indexes(map))

    def _indexes(self, map: NodeRef) -> Sequence[int]:
        """Return the indexes of a map's succeeded items: all, unless it may leave some out."""
        is_partial = self._is_partial(map)
        if is_partial:
            succeeded_items = self._resources.succeeded_items(self._context, map.name)
            if succeeded_items is not None:
                return succeeded_items
        count = map.node.known_length if map.depth == 0 else None
        if count is None:
            count = self._resources.runs.items(self._context.run, map.name)
        if is_partial:  # Redis has lost the items' states: the store has those that succeeded
            return [index for index in range(count) if self._is_there(map.item(index))]
        return range(count)

    def _is_there(self, item: NodeRef) -> bool:
        if item.is_map:
            return all(map(self._is_there, self._items(item)))
        with contextlib.suppress(MissingOutput):
            return bool(self._resources.output(self._context, item))
        return False

    def _decode(self, ref: NodeRef, output: Output, hint: object) -> object:
        given = _returns(self._context, output)
        try:
            return decode(self.tree(ref), given, self._resources.store, output.path, wanted=hint)
        except (MissingArtifact, AlteredArtifact) as error:
            raise type(error)(f"what {ref.name} gave cannot be read: {error}", hint=error.hint) from error


def _returns(context: RunContext, output: Output) -> object:
    hints: Mapping[str, object] = hints_of(stages[context.graph[output.node].stage].function)
    return hints["return"]


def _failure_of(context: RunContext, resources: WorkerResources) -> Failure:
    """Return the run's first error and the failed nodes; identical for each failure handler.

    Handlers run in parallel, so another handler may have failed by now: handlers are left out. No other node
    of the run is still running.
    """
    reader = RunReader(resources.runs.client)
    record, tracebacks = reader.read(context.run, context.graph), reader.tracebacks(context.run)
    handlers = {handler.name for handler in context.graph.handlers}
    failed = tuple(
        FailedNode(
            name=node.name,
            stage=node.stage,
            error=node.error or "",
            traceback=tracebacks.get(f"{node.name}#{len(node.attempts)}", ""),
            attempts=len(node.attempts),
        )
        for node in record.nodes
        if node.state is NodeState.FAILED and node.name not in handlers
    )
    return Failure(run=context.run, pipeline=context.graph.pipeline, error=record.error or "", nodes=failed)
