"""Load the arguments of a node's function."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import cast

from orchestrator.artifacts import AlteredArtifact, MissingArtifact, decode
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.annotations import element_of, hints_of
from orchestrator.authoring.errors import UnevenMap
from orchestrator.authoring.failure import FailedNode, Failure
from orchestrator.authoring.graph import (
    JSON,
    Constant,
    Element,
    FailureOfRun,
    Gather,
    Input,
    Node,
    NodeName,
    Not,
    Output,
    item_name,
    item_of,
)
from orchestrator.authoring.parameters import parse_value
from orchestrator.authoring.stage import stages
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
    loader = _Loader(ref, context, resources, as_of)
    arguments = {name: loader.load(value, hints.get(name, object)) for name, value in ref.node.inputs.items()}
    if ref.index is not None:
        for name, value in ref.node.varying.items():
            arguments[name] = loader.element(value, hints.get(name, object))
    return arguments


def small_inputs(ref: NodeRef) -> dict[str, JSON]:
    """Return the arguments that are constants in the graph; MLflow shows them as parameters."""
    given = {name: _of_item(ref, value) for name, value in ref.node.inputs.items()}
    if ref.index is not None:
        given |= {name: item_of(value, ref.index) for name, value in ref.node.varying.items()}
    return {name: value.value for name, value in given.items() if isinstance(value, Constant)}


def _of_item(ref: NodeRef, value: Input) -> Input | None:
    """Return what an item takes where that is an element of a list that is written into the run."""
    if isinstance(value, Element) and ref.index is not None:
        return item_of(ref.node.each[value.list], ref.index)
    return value


def conditions_hold(ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int) -> bool:
    """Whether the conditions of a node are true, or those that an item has for itself."""
    conditions = ref.node.whole_conditions if ref.index is None else ref.node.item_conditions
    loader = _Loader(ref, context, resources, as_of)
    return all(loader.load(condition, object) for condition in conditions)


def count_items(ref: NodeRef, context: RunContext, resources: WorkerResources) -> int:
    """Count the items of a map whose inputs are available. Raises UnevenMap if the lists differ in length."""
    loader, node = _Loader(ref, context, resources), ref.node
    lengths = {name.rpartition(".")[2]: loader.length(value) for name, value in node.lists.items()}
    if len(set(lengths.values())) > 1:
        raise UnevenMap.of(node.scope or ref.name, lengths)
    if lengths:
        return next(iter(lengths.values()))
    beside = next(name for name in sorted(node.needs | node.met) if node.is_beside(name))
    return resources.runs.items(context.run, beside)


def input_trees(
    value: Output, ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int
) -> list[Tree]:
    """Return the stored trees of the output that an input refers to; of a map as a whole, one per item."""
    return _Loader(ref, context, resources, as_of).trees(value)


def item_tree(
    value: Output, ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int
) -> Tree:
    """Return the stored tree of what an item of a map takes of another map."""
    return _Loader(ref, context, resources, as_of).item_tree(value)


class _Loader:
    def __init__(self, ref: NodeRef, context: RunContext, resources: WorkerResources, as_of: int = 0) -> None:
        self._ref = ref
        self._context = context
        self._resources = resources
        self._follows = context.follows(
            ref
        )  #: maps that may still go on, of which items were committed by `as_of`
        self._as_of = as_of

    def load(self, value: Input, hint: object) -> object:
        match value:
            case Constant(constant):
                return parse_value(constant, hint)
            case Gather(items):
                return [self.load(item, element_of(hint)) for item in items]
            case Output(node):
                if self._is_whole_map(node):
                    inner = element_of(hint)
                    return [self._decode(item, value, inner) for item in self._items(value)]
                if self._ref.node.is_beside(node):
                    return self._decode_tree(self.item_tree(value), self._item(value), value, hint)
                return self._decode(self._context.node_ref(node), value, hint)
            case Element(taken_from, path):
                return self.element(self._ref.node.each[taken_from], hint, path)
            case Not(of):
                return not self.load(of, hint)
            case FailureOfRun():
                return _failure_of(self._context, self._resources)

    def element(self, value: Input, hint: object, path: tuple[str | int, ...] = ()) -> object:
        """Load the element of a list that the item takes, or a part of it."""
        element = item_of(value, self._index)
        if element is not None:
            return self.load(element, hint)
        output = cast("Output", value)
        if self._context.graph[output.node].mapped:
            tree, part = self.item_tree(output), Output(output.node, (*output.path, *path))
            return self._decode_tree(tree, self._item(output), part, hint)
        item = Output(output.node, (*output.path, self._index, *path))
        return self._decode(self._context.node_ref(output.node), item, hint)

    def item_tree(self, output: Output) -> Tree:
        ref = self._item(output)
        if output.node in self._follows:
            return self._resources.item_output(self._context, ref, as_of=self._as_of)
        return self._resources.output(self._context, ref)

    @property
    def _index(self) -> int:
        return self._ref.index or 0

    def _is_whole_map(self, node: NodeName) -> bool:
        return self._context.graph[node].mapped and not self._ref.node.is_beside(node)

    def _item(self, output: Output) -> NodeRef:
        """Return the item of a map that the item takes."""
        source = self._context.graph[output.node]
        shortened = source.name in self._context.graph.partial and not self._ref.node.is_beside(source.name)
        return _item(source, self._indexes(source)[self._index] if shortened else self._index)

    def trees(self, value: Output) -> list[Tree]:
        if self._ref.node.is_beside(value.node):
            return [self.item_tree(value)]
        refs = self._items(value) if self._is_whole_map(value.node) else [self._context.node_ref(value.node)]
        return [self._resources.output(self._context, ref) for ref in refs]

    def length(self, value: Input) -> int:
        match value:
            case Constant(list() as items):
                return len(items)
            case Gather(items):
                return len(items)
            case Output(node) if self._context.graph[node].mapped:
                return len(self._indexes(self._context.graph[node]))
        return len(cast("list[object]", self.load(value, object)))

    def _items(self, output: Output) -> list[NodeRef]:
        source = self._context.graph[output.node]
        return [_item(source, index) for index in self._indexes(source)]

    def _indexes(self, source: Node) -> Sequence[int]:
        """Return the indexes of a map's succeeded items: all, unless it may leave some out."""
        is_partial = source.name in self._context.graph.partial
        if is_partial:
            succeeded_items = self._resources.succeeded_items(self._context, source.name)
            if succeeded_items is not None:
                return succeeded_items
        count = source.known_length
        if count is None:
            count = self._resources.runs.items(self._context.run, source.name)
        if is_partial:  # Redis has lost the items' states: the store has those that succeeded
            return [index for index in range(count) if self._is_there(_item(source, index))]
        return range(count)

    def _is_there(self, item: NodeRef) -> bool:
        with contextlib.suppress(MissingOutput):
            return bool(self._resources.output(self._context, item))
        return False

    def _decode(self, ref: NodeRef, output: Output, hint: object) -> object:
        return self._decode_tree(self._resources.output(self._context, ref), ref, output, hint)

    def _decode_tree(self, tree: Tree, ref: NodeRef, output: Output, hint: object) -> object:
        given = _returns(self._context, output)
        try:
            return decode(tree, given, self._resources.store, output.path, wanted=hint)
        except (MissingArtifact, AlteredArtifact) as error:
            raise type(error)(f"what {ref.name} gave cannot be read: {error}", hint=error.hint) from error


def _returns(context: RunContext, output: Output) -> object:
    hints: Mapping[str, object] = hints_of(stages[context.graph[output.node].stage].function)
    return hints["return"]


def _item(source: Node, index: int) -> NodeRef:
    return NodeRef(item_name(source.name, index), source, index)


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
