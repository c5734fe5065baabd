"""Runs a graph in this process, node after node, by the rules that workers follow."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from typing import TypeAlias, cast

from orchestrator.authoring.annotations import element_of, hints_of, part_of
from orchestrator.authoring.context import attempting, current_attempt, local_attempt
from orchestrator.authoring.errors import EmptyMap, UnevenMap
from orchestrator.authoring.failure import FailedNode, Failure
from orchestrator.authoring.graph import (
    Constant,
    Element,
    FailureOfRun,
    Gather,
    Graph,
    Input,
    Node,
    NodeName,
    Not,
    Output,
    group_and_index,
    indexes_of,
    item_at,
    item_name,
    item_of,
)
from orchestrator.authoring.parameters import parse_value
from orchestrator.authoring.stage import stages
from orchestrator.authoring.table import narrowed

log = logging.getLogger("orchestrator.local")


def run_graph(graph: Graph) -> dict[str, object]:
    """Run every node and return the outputs by node name; skipped nodes are left out.

    Stages are tried again as their policy says, without its waits; time limits and caches are ignored. After
    a failure, nodes that do not need the failed one still run, unless the graph fails fast; then the handlers
    run, and the error is raised. Models are logged and registered in memory, and gone when it returns, unless
    the caller is in a tracked attempt.
    """
    with attempting(local_attempt()):
        return _run(_LocalRun(graph))


def _run(run: _LocalRun) -> dict[str, object]:
    graph = run.graph
    for name in graph.order:
        run.run_node(graph[name])
        if run.error is not None and graph.fail_fast:
            break
    if run.error is not None:
        run.run_handlers()
        raise run.error
    return {node.name: run.values[node.name] for node in graph if node.name in run.values}


_Indexes: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class _Failed:
    """What the last attempt of a node or an item ended with."""

    error: BaseException
    attempts: int = 1


class _End(Enum):
    """How a node, an item, or a map ended."""

    SUCCEEDED = auto()
    FAILED = auto()
    SKIPPED = auto()
    UPSTREAM_FAILED = auto()
    LEFT_OUT = auto()  #: it could not run, as what it needs is left out of its map


@dataclass
class _LocalRun:
    graph: Graph
    #: What has succeeded gives, by the names of nodes, of items, and of maps that are items.
    values: dict[str, object] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)  #: of maps
    ends: dict[str, _End] = field(default_factory=dict)
    failed: list[FailedNode] = field(default_factory=list)  #: nodes and items, tolerated ones too
    error: BaseException | None = None  #: the first that was not tolerated
    summary: str = ""  #: the node that raised it, and its message

    def run_node(self, node: Node) -> None:
        """Run a node, or the items of a map, as far as what they need has succeeded and conditions hold."""
        outcome = self._run(node, node.name, ())
        if isinstance(outcome, _Failed):
            self._record_end(node.name, node, outcome)

    def run_handlers(self) -> None:
        """Run the handlers of a failed pipeline; their own errors are only logged."""
        failed = tuple(self.failed)
        failure = Failure(
            run=current_attempt().run, pipeline=self.graph.pipeline, error=self.summary, nodes=failed
        )
        for handler in self.graph.handlers:
            given = dict.fromkeys(handler.inputs, failure)
            outcome = self._call(handler, handler.name, partial(dict, given))
            if isinstance(outcome, _Failed):
                log.error("%s has failed too", handler.name, exc_info=outcome.error)

    def _run(self, node: Node, name: NodeName, indexes: _Indexes) -> _End | _Failed:
        """Run a node, an item, or a map of items; return its end, or the error that it failed with."""
        try:
            end = self._cannot_run(node, indexes)
            if end is None and not all(
                self._value(condition, node, indexes) for condition in node.conditions_at(len(indexes))
            ):
                end = _End.SKIPPED
            if end is None and len(indexes) < node.depth:
                end = self._run_items(node, name, indexes, self._count(node, indexes))
        except Exception as error:  # noqa: BLE001 - the node has failed, others go on
            self.ends[name] = _End.FAILED
            return _Failed(error)
        if end is None:
            value = self._call(node, name, partial(self._arguments, node, indexes))
            if isinstance(value, _Failed):
                self.ends[name] = _End.FAILED
                return value
            self.values[name], end = value, _End.SUCCEEDED
        self.ends[name] = end
        return end

    def _cannot_run(self, node: Node, indexes: _Indexes) -> _End | None:
        """How it ends because of what it needs; None if it can run."""
        found = set()
        for need in node.needs:
            shared = self.graph.shared(node.name, need)
            name = item_at(need, indexes[: min(shared, len(indexes))])
            if len(indexes) == shared or (len(indexes) < shared and name not in self.lengths):
                found.add(self._seen_from_outside(name))
        for end in (_End.UPSTREAM_FAILED, _End.LEFT_OUT, _End.SKIPPED):
            if end in found:
                return end
        return None

    def _seen_from_outside(self, name: NodeName) -> _End:
        """How an item, or a node, ended for what needs it."""
        end = self.ends.get(name, _End.UPSTREAM_FAILED)
        if end in (_End.SUCCEEDED, _End.SKIPPED):
            return end
        map, index = group_and_index(name)
        is_tolerated = index is not None and self.ends.get(map) is _End.SUCCEEDED
        return _End.LEFT_OUT if is_tolerated else _End.UPSTREAM_FAILED

    def _run_items(self, node: Node, name: NodeName, indexes: _Indexes, count: int) -> _End:
        self.lengths[name] = count
        policy = node.policy if len(indexes) + 1 == node.depth else replace(node.policy, tolerate=0.0)
        failures, end = 0, _End.SUCCEEDED
        for index in range(count):
            item = item_name(name, index)
            outcome = self._run(node, item, (*indexes, index))
            if outcome is _End.UPSTREAM_FAILED and end is _End.SUCCEEDED:
                end = _End.UPSTREAM_FAILED
            if outcome is _End.FAILED or isinstance(outcome, _Failed):
                failures += 1
                is_tolerated = policy.tolerates(failures, count)
                if isinstance(outcome, _Failed):
                    self._record_end(item, node, outcome, tolerated=is_tolerated)
                if not is_tolerated:
                    end = _End.FAILED
                    if self.graph.fail_fast:
                        return end
        if end is _End.SUCCEEDED:
            items = (item_name(name, index) for index in range(count))
            self.values[name] = [self.values[item] for item in items if item in self.values]
        return end

    def _count(self, node: Node, indexes: _Indexes) -> int:
        """How many items a map has."""
        depth = len(indexes)
        name, lists = node.goes_through_at(depth), node.lists_at(depth)
        lengths = {
            key.rpartition(".")[2]: self._length(value, depth + 1, node, indexes)
            for key, value in lists.items()
        }
        if len(set(lengths.values())) > 1:
            raise UnevenMap.of(name, lengths)
        if lengths:
            count = next(iter(lengths.values()))
        else:
            told = (need for need in node.needs if self.graph.shared(node.name, need) > depth)
            count = self.lengths[item_at(next(told), indexes)]
        if count < node.least_at(depth):
            raise EmptyMap.of(name, count, node.least_at(depth))
        return count

    def _length(self, value: Input, depth: int, node: Node, indexes: _Indexes) -> int:
        map = self._map_of(value, depth, node, indexes)
        return len(cast("Sized", self._value(value, node, indexes))) if map is None else self.lengths[map]

    def _map_of(self, value: Input, depth: int, node: Node, indexes: _Indexes) -> NodeName | None:
        """The map whose items are the elements of a list, one by one; None for any other list."""
        if not isinstance(value, Output):
            return None
        outside = min(node.copies_shared(value.node), depth - 1)
        is_map = self.graph[value.node].depth > outside
        leaves_none_out = (value.node, outside + 1) not in self.graph.partial
        return item_at(value.node, indexes[:outside]) if is_map and leaves_none_out else None

    def _call(self, node: Node, name: str, arguments: Callable[[], Mapping[str, object]]) -> object | _Failed:
        """What the node's function returns, or `_Failed` with the error of the last attempt."""
        function = stages[node.stage].function
        number = 0
        while True:
            number += 1
            try:
                given = arguments()
                with attempting(replace(current_attempt(), node=name, number=number)):
                    return cast("object", function(**given))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a stage raises is judged by its policy
                if not node.policy.grants_another(error, number):
                    return _Failed(error, number)

    def _arguments(self, node: Node, indexes: _Indexes) -> dict[str, object]:
        hints = hints_of(stages[node.stage].function)
        given = {
            key: self._value(value, node, indexes, hints.get(key, object))
            for key, value in node.inputs.items()
        }
        return given | {
            key: self._element(value, node.depth, node, indexes, hints.get(key, object))
            for key, value in node.varying.items()
        }

    def _value(self, value: Input, node: Node, indexes: _Indexes, hint: object = object) -> object:
        """What an input is for a node, or for one of its items."""
        match value:
            case Constant(constant):
                return parse_value(constant, hint) if hint is not object else constant
            case Gather(items):
                inner = element_of(hint) if hint is not object else object
                return [self._value(item, node, indexes, inner) for item in items]
            case Output(name, path):
                shared = node.copies_shared(name)
                found = self.values[item_at(name, indexes[:shared])]
                return narrowed(_part(found, path, self.graph[name].depth - shared), hint)
            case Element(taken_from, path):
                whole = self._element(
                    node.each[taken_from], value.depth, node, indexes, object if path else hint
                )
                return narrowed(_part(whole, path), hint) if path else whole
            case Not(of):
                return not self._value(of, node, indexes)
            case FailureOfRun():
                raise LookupError("only the stages of on_failure are told of a failure")

    def _element(self, value: Input, depth: int, node: Node, indexes: _Indexes, hint: object) -> object:
        """The element of a list that an item takes by its index of a depth."""
        index = indexes[depth - 1]
        known = item_of(value, index)
        if known is not None:
            return self._value(known, node, indexes, hint)
        map = self._map_of(value, depth, node, indexes)
        if map is not None and isinstance(value, Output):
            item = item_name(map, index)
            lists = self.graph[value.node].depth - len(indexes_of(item))
            return narrowed(_part(self.values[item], value.path, lists), hint)
        whole = self._value(value, node, indexes, object if hint is object else list[hint])  # type: ignore[valid-type]
        return narrowed(list(cast("Iterable[object]", whole))[index], hint)

    def _record_end(self, name: str, node: Node, outcome: object, *, tolerated: bool = False) -> bool:
        """Record how a node or an item ended; returns whether it has succeeded."""
        if not isinstance(outcome, _Failed):
            return True
        error = outcome.error
        told = f"{type(error).__name__}: {_message_of(error)}"
        trace = "".join(traceback.format_exception(error))
        self.failed.append(
            FailedNode(name=name, stage=node.stage, error=told, traceback=trace, attempts=outcome.attempts)
        )
        if not tolerated and self.error is None:
            self.error, self.summary = error, f"{name}: {told}"
        return False


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__
        return "its message cannot be shown"


def _part(value: object, path: tuple[str | int, ...], lists: int = 0) -> object:
    """The part of a value that `path` leads to; of each value in so many `lists` in lists."""
    if lists and path:
        return [_part(each, path, lists - 1) for each in cast("list[object]", value)]
    return part_of(value, path)
