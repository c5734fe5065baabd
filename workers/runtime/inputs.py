"""Loads what a node's function is called with."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import cast

from orchestrator.artifacts import AlteredArtifact, MissingArtifact, decode
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.annotations import element_of, hints_of
from orchestrator.authoring.errors import UnevenMap
from orchestrator.authoring.graph import (
    JSON,
    Constant,
    FailureOfRun,
    Gather,
    Input,
    Node,
    Not,
    Output,
    item_name,
    item_of,
)
from orchestrator.authoring.parameters import parse_value
from orchestrator.authoring.stage import stages
from workers.runtime.errors import MissingOutput
from workers.runtime.failure import failure_of
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import NodeRef, RunContext


def load_inputs(task: NodeRef, job: RunContext, resources: WorkerResources) -> dict[str, object]:
    """The arguments of a task, by parameter."""
    hints = hints_of(stages[task.node.stage].function)
    loader = _Loader(job, resources)
    arguments = {
        name: loader.load(value, hints.get(name, object)) for name, value in task.node.inputs.items()
    }
    if task.index is not None:
        for name, value in task.node.varying.items():
            arguments[name] = loader.element(value, task.index, hints.get(name, object))
    return arguments


def small_inputs(task: NodeRef) -> dict[str, JSON]:
    """The arguments that were written into the run: what MLflow shows as parameters."""
    found = {name: value.value for name, value in task.node.inputs.items() if isinstance(value, Constant)}
    if task.index is not None:
        for name, value in task.node.varying.items():
            element = item_of(value, task.index)
            if isinstance(element, Constant):
                found[name] = element.value
    return found


def conditions_hold(task: NodeRef, job: RunContext, resources: WorkerResources) -> bool:
    """Whether all that the node depends on came out true."""
    loader = _Loader(job, resources)
    return all(loader.load(condition, object) for condition in task.node.conditions)


def count_items(task: NodeRef, job: RunContext, resources: WorkerResources) -> int:
    """How many items a map has, now that what it goes through is there. Raises UnevenMap if lists differ."""
    loader = _Loader(job, resources)
    lengths = {name: loader.length(value) for name, value in task.node.varying.items()}
    if len(set(lengths.values())) > 1:
        raise UnevenMap.of(task.name, lengths)
    return next(iter(lengths.values()))


def input_trees(value: Output, job: RunContext, resources: WorkerResources) -> list[Tree]:
    """The stored form of what an input refers to: of each item, if it is a map."""
    return _Loader(job, resources).trees(value)


class _Loader:
    def __init__(self, job: RunContext, resources: WorkerResources) -> None:
        self._job = job
        self._workshop = resources

    def load(self, value: Input, hint: object) -> object:
        match value:
            case Constant(constant):
                return parse_value(constant, hint)
            case Gather(items):
                return [self.load(item, element_of(hint)) for item in items]
            case Output(node, path):
                source = self._job.graph[node]
                if source.mapped and not path:
                    return [self._decode(item, value) for item in self._items(value)]
                return self._decode(self._job.task(node), value)
            case Not(output):
                return not self.load(output, hint)
            case FailureOfRun():
                return failure_of(self._job, self._workshop)

    def element(self, value: Input, index: int, hint: object) -> object:
        element = item_of(value, index)
        if element is not None:
            return self.load(element, hint)
        output = cast("Output", value)
        source = self._job.graph[output.node]
        if source.mapped:
            own = self._indexes(source)[index] if source.policy.tolerate else index
            return self._decode(_item(source, own), output)
        return self._decode(self._job.task(output.node), Output(output.node, (*output.path, index)))

    def trees(self, value: Output) -> list[Tree]:
        mapped = self._job.graph[value.node].mapped
        tasks = self._items(value) if mapped else [self._job.task(value.node)]
        return [self._workshop.output(self._job, task) for task in tasks]

    def length(self, value: Input) -> int:
        match value:
            case Constant(list() as items):
                return len(items)
            case Gather(items):
                return len(items)
            case Output(node) if self._job.graph[node].mapped:
                return len(self._indexes(self._job.graph[node]))
        return len(cast("list[object]", self.load(value, object)))

    def _items(self, output: Output) -> list[NodeRef]:
        source = self._job.graph[output.node]
        return [_item(source, index) for index in self._indexes(source)]

    def _indexes(self, source: Node) -> Sequence[int]:
        """The items of a map that succeeded: all, unless its policy tolerates failures."""
        if source.policy.tolerate:
            survivors = self._workshop.survivors(self._job, source.name)
            if survivors is not None:
                return survivors
        count = source.known_length
        if count is None:
            count = self._workshop.runs.items(self._job.run, source.name)
        if source.policy.tolerate:  # Redis has forgotten how the items ended: the store knows which succeeded
            return [index for index in range(count) if self._is_there(_item(source, index))]
        return range(count)

    def _is_there(self, item: NodeRef) -> bool:
        with contextlib.suppress(MissingOutput):
            return bool(self._workshop.output(self._job, item))
        return False

    def _decode(self, task: NodeRef, output: Output) -> object:
        tree = self._workshop.output(self._job, task)
        try:
            return decode(tree, _returns(self._job, output), self._workshop.store, output.path)
        except (MissingArtifact, AlteredArtifact) as error:
            raise type(error)(f"what {task.name} gave cannot be read: {error}", hint=error.hint) from error


def _returns(job: RunContext, output: Output) -> object:
    hints: Mapping[str, object] = hints_of(stages[job.graph[output.node].stage].function)
    return hints["return"]


def _item(source: Node, index: int) -> NodeRef:
    return NodeRef(item_name(source.name, index), source, index)
