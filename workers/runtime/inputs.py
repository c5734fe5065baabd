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
    loader = _Loader(context, resources, context.follows(ref), as_of)
    arguments = {name: loader.load(value, hints.get(name, object)) for name, value in ref.node.inputs.items()}
    if ref.index is not None:
        for name, value in ref.node.varying.items():
            arguments[name] = loader.element(value, ref.index, hints.get(name, object))
    return arguments


def small_inputs(ref: NodeRef) -> dict[str, JSON]:
    """Return the arguments that are constants in the graph; MLflow shows them as parameters."""
    found = {name: value.value for name, value in ref.node.inputs.items() if isinstance(value, Constant)}
    if ref.index is not None:
        for name, value in ref.node.varying.items():
            element = item_of(value, ref.index)
            if isinstance(element, Constant):
                found[name] = element.value
    return found


def conditions_hold(ref: NodeRef, context: RunContext, resources: WorkerResources) -> bool:
    """Whether all conditions of the node are true."""
    loader = _Loader(context, resources)
    return all(loader.load(condition, object) for condition in ref.node.conditions)


def count_items(ref: NodeRef, context: RunContext, resources: WorkerResources) -> int:
    """Count the items of a map whose inputs are available. Raises UnevenMap if the lists differ in length."""
    loader = _Loader(context, resources)
    lengths = {name: loader.length(value) for name, value in ref.node.varying.items()}
    if len(set(lengths.values())) > 1:
        raise UnevenMap.of(ref.name, lengths)
    return next(iter(lengths.values()))


def input_trees(value: Output, context: RunContext, resources: WorkerResources) -> list[Tree]:
    """Return the stored trees of the output that an input refers to; for a map, one per item."""
    return _Loader(context, resources).trees(value)


def item_tree(
    value: Output, ref: NodeRef, context: RunContext, resources: WorkerResources, *, as_of: int
) -> Tree:
    """Return the stored tree of what an item of a map takes of another map."""
    return _Loader(context, resources, context.follows(ref), as_of).item_tree(value, ref.index or 0)


class _Loader:
    def __init__(
        self,
        context: RunContext,
        resources: WorkerResources,
        follows: Sequence[NodeName] = (),
        as_of: int = 0,
    ) -> None:
        self._context = context
        self._resources = resources
        self._follows = follows  #: maps that may still go on, of which items were committed by `as_of`
        self._as_of = as_of

    def load(self, value: Input, hint: object) -> object:
        match value:
            case Constant(constant):
                return parse_value(constant, hint)
            case Gather(items):
                return [self.load(item, element_of(hint)) for item in items]
            case Output(node, path):
                source = self._context.graph[node]
                if source.mapped and not path:
                    inner = element_of(hint)
                    return [self._decode(item, value, inner) for item in self._items(value)]
                return self._decode(self._context.node_ref(node), value, hint)
            case Not(output):
                return not self.load(output, hint)
            case FailureOfRun():
                return _failure_of(self._context, self._resources)

    def element(self, value: Input, index: int, hint: object) -> object:
        element = item_of(value, index)
        if element is not None:
            return self.load(element, hint)
        output = cast("Output", value)
        source = self._context.graph[output.node]
        if source.mapped:
            tree = self.item_tree(output, index)
            return self._decode_tree(tree, self._item(output, index), output, hint)
        item = Output(output.node, (*output.path, index))
        return self._decode(self._context.node_ref(output.node), item, hint)

    def item_tree(self, output: Output, index: int) -> Tree:
        ref = self._item(output, index)
        if output.node in self._follows:
            return self._resources.item_output(self._context, ref, as_of=self._as_of)
        return self._resources.output(self._context, ref)

    def _item(self, output: Output, index: int) -> NodeRef:
        """Return the item of a map that an item of another map takes."""
        source = self._context.graph[output.node]
        return _item(source, self._indexes(source)[index] if source.policy.tolerate else index)

    def trees(self, value: Output) -> list[Tree]:
        mapped = self._context.graph[value.node].mapped
        tasks = self._items(value) if mapped else [self._context.node_ref(value.node)]
        return [self._resources.output(self._context, ref) for ref in tasks]

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
        """Return the indexes of a map's succeeded items: all, unless its policy tolerates failures."""
        if source.policy.tolerate:
            succeeded_items = self._resources.succeeded_items(self._context, source.name)
            if succeeded_items is not None:
                return succeeded_items
        count = source.known_length
        if count is None:
            count = self._resources.runs.items(self._context.run, source.name)
        if source.policy.tolerate:  # Redis has lost the items' states: the store has those that succeeded
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
