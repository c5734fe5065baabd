"""Runs a graph in this process, node after node, by the rules that workers follow."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from orchestrator.authoring.annotations import hints_of
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
    Not,
    Output,
    item_name,
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
    return run.values


@dataclass(frozen=True)
class _Failed:
    """What the last attempt of a node or an item ended with."""

    error: BaseException
    attempts: int = 1


#: What an item of a map is given: elements of its lists, by name, and what its copies of other nodes gave.
_Row: TypeAlias = Mapping[str, object]

#: In the place of what an item gives: it failed, or could not run.
_MISSING = object()


@dataclass
class _LocalRun:
    graph: Graph
    values: dict[str, object] = field(default_factory=dict)  #: of the nodes that have succeeded
    #: Of the maps that others follow item by item, or within a mapped pipeline: what each item gives.
    items: dict[str, list[object]] = field(default_factory=dict)
    failed: list[FailedNode] = field(default_factory=list)  #: nodes and items, tolerated ones too
    error: BaseException | None = None  #: the first that was not tolerated
    summary: str = ""  #: the node that raised it, and its message

    def run_node(self, node: Node) -> None:
        """Run a node if all that it needs has succeeded and its conditions hold.

        A map that follows others item by item is run for the items of theirs that have succeeded.
        """
        followed = [name for name in self.graph.item_edges.get(node.name, ()) if name in self.items]
        if not all(need in self.values or need in followed for need in node.needs):
            return
        try:
            if not all(self._value(condition) for condition in node.whole_conditions):
                return
            rows = self._rows(node) if node.mapped else None
        except Exception as error:  # noqa: BLE001 - the node has failed, others go on
            self._record_end(node.name, node, _Failed(error))
            return
        if rows is None:
            value = self._call(node, node.name, {})
            if self._record_end(node.name, node, value):
                self.values[node.name] = value
        else:
            self._run_items(node, rows)

    def run_handlers(self) -> None:
        """Run the handlers of a failed pipeline; their own errors are only logged."""
        failed = tuple(self.failed)
        failure = Failure(
            run=current_attempt().run, pipeline=self.graph.pipeline, error=self.summary, nodes=failed
        )
        for handler in self.graph.handlers:
            outcome = self._call(handler, handler.name, dict.fromkeys(handler.inputs, failure))
            if isinstance(outcome, _Failed):
                log.error("%s has failed too", handler.name, exc_info=outcome.error)

    def _rows(self, node: Node) -> list[_Row]:
        """What varies between the items of a map, for each."""
        columns = {key: self._column(node, key, value) for key, value in node.lists.items()}
        columns |= {name: self.items[name] for name in self.items if node.is_beside(name)}
        lengths = {key.rpartition(".")[2]: len(columns[key]) for key in node.lists}
        if len(set(lengths.values())) > 1:
            raise UnevenMap.of(node.scope or node.name, lengths)
        count = next(iter([*lengths.values(), *(len(column) for column in columns.values())]))
        if count < node.at_least:
            raise EmptyMap.of(node.scope or node.name, count, node.at_least)
        return [{key: column[index] for key, column in columns.items()} for index in range(count)]

    def _column(self, node: Node, key: str, value: Input) -> list[object]:
        if isinstance(value, Output) and value.node in self.graph.item_edges.get(node.name, ()):
            return [item if item is _MISSING else _part(item, value.path) for item in self.items[value.node]]
        hint = hints_of(stages[node.stage].function).get(key, object)
        column = list(cast("list[object]", self._value(value)))
        parsed = parse_value if isinstance(value, Constant) else narrowed
        return [parsed(each, hint) for each in column]

    def _run_items(self, node: Node, rows: list[_Row]) -> None:
        names = [item_name(node.name, index) for index in range(len(rows))]
        needed = set(node.lists) | {name for name in node.needs if node.is_beside(name)}
        items: list[object] = []
        failures, missing = 0, False
        for name, row in zip(names, rows, strict=True):
            if any(row[key] is _MISSING for key in needed):
                missing = True
                items.append(_MISSING)
                continue
            value = self._run_item(node, name, row)
            failures += isinstance(value, _Failed)
            tolerated = node.policy.tolerates(failures, len(rows))
            has_succeeded = self._record_end(name, node, value, tolerated=tolerated)
            items.append(value if has_succeeded else _MISSING)
            if not has_succeeded and not tolerated and self.graph.fail_fast:
                return
        if node.name in self.graph.item_followers or node.scope:
            self.items[node.name] = items
        if node.policy.tolerates(failures, len(rows)) and not self._is_incomplete(node, missing=missing):
            self.values[node.name] = [value for value in items if value is not _MISSING]

    def _is_incomplete(self, node: Node, *, missing: bool) -> bool:
        """Whether items could not run because of a failure, and not as maps before them leave those out."""
        followed = self.graph.item_edges.get(node.name, ())
        return missing and any(name not in self.values for name in followed)

    def _run_item(self, node: Node, name: str, row: _Row) -> object:
        """What an item gives; `_MISSING` if its conditions do not hold."""
        try:
            if not all(self._value(condition, node, row) for condition in node.item_conditions):
                return _MISSING
        except Exception as error:  # noqa: BLE001 - the item has failed, others go on
            return _Failed(error)
        return self._call(node, name, row)

    def _call(self, node: Node, name: str, row: _Row) -> object:
        """What the node's function returns, or `_Failed` with the error of the last attempt."""
        function = stages[node.stage].function
        number = 0
        while True:
            number += 1
            try:
                arguments = self._arguments(node, row)
                with attempting(replace(current_attempt(), node=name, number=number)):
                    return function(**arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a stage raises is judged by its policy
                if not node.policy.grants_another(error, number):
                    return _Failed(error, number)

    def _arguments(self, node: Node, row: _Row) -> dict[str, object]:
        hints = hints_of(stages[node.stage].function)
        given: dict[str, object] = {key: row[key] for key in node.varying}
        for key, value in node.inputs.items():
            if isinstance(value, FailureOfRun):
                given[key] = row[key]
            elif isinstance(node.each[value.list] if isinstance(value, Element) else value, Constant):
                given[key] = parse_value(self._value(value, node, row), hints.get(key, object))
            else:
                given[key] = narrowed(self._value(value, node, row), hints.get(key, object))
        return given

    def _value(self, value: Input, node: Node | None = None, row: _Row | None = None) -> object:
        """What an input is; for an item of a map, with what is the item's own."""
        match value:
            case Constant(constant):
                return constant
            case Gather(items):
                return [self._value(item, node, row) for item in items]
            case Output(name, path):
                if node is not None and row is not None and node.is_beside(name):
                    return _part(row[name], path)
                found = self.values[name]
                if self.graph[name].mapped and path:
                    return [_part(item, path) for item in cast("list[object]", found)]
                return _part(found, path)
            case Element(taken_from, path):
                return _part((row or {})[taken_from], path)
            case Not(of):
                return not self._value(of, node, row)
            case FailureOfRun():
                raise LookupError("only the stages of on_failure are told of a failure")

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


def _part(value: object, path: tuple[str | int, ...]) -> object:
    """The part of a value that `path` leads to."""
    for key in path:
        named = isinstance(key, str) and not isinstance(value, dict)
        value = getattr(value, str(key)) if named else value[key]  # type: ignore[index]
    return value
