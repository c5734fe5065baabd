"""Traces a pipeline into a graph: runs its function once, with references in place of values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.authoring.annotations import assignable, element_of, has_elements, hints_of, shown
from orchestrator.authoring.errors import EmptyMap, InvalidPipeline, UnevenMap
from orchestrator.authoring.failure import Failure
from orchestrator.authoring.graph import (
    JSON,
    Constant,
    FailureOfRun,
    Gather,
    Graph,
    Input,
    Node,
    NodeName,
    Output,
    StageName,
    find_cycle,
    known_length,
)
from orchestrator.authoring.masking import SEE_CONTEXT, asks_for_secret, is_secret_type, mask_value
from orchestrator.authoring.parameters import parse_value, reason
from orchestrator.authoring.policies import Policy
from orchestrator.authoring.reference import Reference, hint_of, node_of, output_of

_active: ContextVar[Trace | None] = ContextVar("orchestrator_trace", default=None)


def active_trace() -> Trace | None:
    """The trace that is being recorded now, if any."""
    return _active.get()


@dataclass(frozen=True, kw_only=True)
class Use:
    """One call of a stage, as it is recorded."""

    stage: StageName
    function: Any  # any callable: its signature is inspected, not called
    policy: Policy
    arguments: Mapping[str, object]
    varying: Mapping[str, object] = field(default_factory=dict)
    at_least: int = 0  #: items that the map must have
    after: Sequence[object] = ()
    conditions: Sequence[object] = ()


class Trace:
    """The nodes recorded so far, and the mistakes found on the way."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self._nodes: dict[NodeName, Node] = {}
        self._handlers: dict[NodeName, Node] = {}
        self._mistakes: list[str] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Calls of stages inside the block become nodes of this trace."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def graph(self, *, fail_fast: bool = False) -> Graph:
        """What was recorded; raises InvalidPipeline with every mistake."""
        if cycle := find_cycle(self._nodes.values()):
            self.mistake(f"a cycle: {' → '.join(cycle)}; remove one of these .after(…)")
        if not self._nodes and not self._mistakes:
            self.mistake("it calls no stage")
        if self._mistakes:
            raise InvalidPipeline(self.pipeline, self._mistakes)
        nodes, handlers = tuple(self._nodes.values()), tuple(self._handlers.values())
        return Graph(self.pipeline, nodes, handlers, fail_fast=fail_fast)

    def mistake(self, text: str) -> None:
        """Record a mistake and go on: all of them are reported at once."""
        self._mistakes.append(text)

    def record(self, use: Use) -> Reference:
        """Add a node for one call of a stage."""
        name = self._fresh_name(use.stage)
        hints = self._hints(use)
        result = hints.get("return", Any)
        node = Node(
            name=name,
            stage=use.stage,
            policy=use.policy,
            inputs={
                key: self._input(name, key, value, hints.get(key, Any))
                for key, value in use.arguments.items()
            },
            varying={
                key: self._varying(name, key, value, hints.get(key, Any))
                for key, value in use.varying.items()
            },
            at_least=use.at_least,
        )
        self._check_lengths(node)
        self._nodes[name] = node
        self.order(name, use.after)
        for condition in use.conditions:
            self.condition(name, condition)
        return Reference(self, name, list[result] if use.varying else result)  # type: ignore[valid-type]

    def handle_failure(self, use: Use) -> None:
        """Add a node that runs once the run has failed, with the Failure as its argument."""
        name = self._fresh_name(use.stage)
        hints = self._hints(use)
        parameters = inspect.signature(use.function).parameters.values()
        required = [each.name for each in parameters if each.default is inspect.Parameter.empty]
        if len(required) != 1 or not assignable(Failure, hints.get(required[0], Any)):
            self.mistake(f"on_failure={name}: it has to take one argument, the Failure")
            return
        inputs = {required[0]: FailureOfRun()}
        self._handlers[name] = Node(name=name, stage=use.stage, policy=use.policy, inputs=inputs)

    def order(self, name: NodeName, others: Sequence[object]) -> None:
        """Make a node run after others."""
        references = [other for other in others if isinstance(other, Reference)]
        if len(references) < len(others):
            self.mistake(f"{name}.after(…) takes what other stages returned in this pipeline")
        node = self._nodes[name]
        names = dict.fromkeys([*node.after, *(node_of(reference) for reference in references)])
        self._nodes[name] = replace(node, after=tuple(names))

    def condition(self, name: NodeName, condition: object) -> None:
        """Make a node run only if another one's output is true."""
        if not isinstance(condition, Reference):
            self.mistake(f"{name}.only_if(…) takes what another stage returned in this pipeline")
            return
        node = self._nodes[name]
        self._nodes[name] = replace(node, conditions=(*node.conditions, output_of(condition)))

    def _fresh_name(self, stage: StageName) -> NodeName:
        base = stage.rpartition(".")[2]
        name, use = base, 1
        while name in self._nodes or name in self._handlers:
            use += 1
            name = f"{base}-{use}"
        return NodeName(name)

    def _hints(self, use: Use) -> Mapping[str, object]:
        try:
            return hints_of(use.function)
        except (NameError, TypeError) as error:
            self.mistake(f"{use.stage}: its annotations cannot be read: {error}")
            return {}

    def _input(self, node: NodeName, parameter: str, value: object, hint: object) -> Input:
        if isinstance(value, Reference):
            if not assignable(hint_of(value), hint):
                self.mistake(
                    f"{node}({parameter}={value}): {node_of(value)} gives {shown(hint_of(value))}, "
                    f"but {node} takes {shown(hint)}"
                )
            return output_of(value)
        if isinstance(value, list | tuple) and any(isinstance(item, Reference) for item in value):
            element = element_of(hint)
            return Gather(
                tuple(
                    self._input(node, f"{parameter}[{index}]", item, element)
                    for index, item in enumerate(value)
                )
            )
        return Constant(self._constant(node, parameter, value, hint))

    def _varying(self, node: NodeName, parameter: str, value: object, hint: object) -> Input:
        if isinstance(value, Reference):
            given = f"{node_of(value)} gives {shown(hint_of(value))}"
            if not has_elements(hint_of(value)):
                self.mistake(f"{node}.map({parameter}={value}): {given}, but a map goes through a list")
            elif not assignable(element_of(hint_of(value)), hint):
                self.mistake(f"{node}.map({parameter}={value}): {given}, but each item is a {shown(hint)}")
            return output_of(value)
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
            self.mistake(f"{node}.map({parameter}=…) takes a list, not {type(value).__name__}")
            return Constant([None])
        return self._input(node, parameter, list(value), list[hint])  # type: ignore[valid-type]

    def _known_length(self, value: Input) -> int | None:
        """How many elements a list has, also as that of a map whose items all have to succeed."""
        source = self._nodes.get(value.node) if isinstance(value, Output) else None
        if source is None or not source.mapped or source.policy.tolerate:
            return known_length(value)
        lengths = map(self._known_length, source.varying.values())
        return next((length for length in lengths if length is not None), None)

    def _check_lengths(self, node: Node) -> None:
        lengths = {parameter: self._known_length(value) for parameter, value in node.varying.items()}
        known = {parameter: length for parameter, length in lengths.items() if length is not None}
        if len(set(known.values())) > 1:
            self.mistake(str(UnevenMap.of(node.name, known)))
        elif node.known_length is not None and node.known_length < node.at_least:
            self.mistake(str(EmptyMap.of(node.name, node.known_length, node.at_least)))
        shortened = {parameter: self._shortened_by(value) for parameter, value in node.varying.items()}
        if len(set(shortened.values())) > 1:
            by = next(name for name in shortened.values() if name is not None)
            listed = ", ".join(shortened)
            self.mistake(
                f"{node.name}.map({listed}): {by} leaves out the items that it lets fail, so these lists "
                f"may not fit side by side; have {by} return all that belongs together"
            )

    def _shortened_by(self, value: Input) -> NodeName | None:
        """The map that may leave items out of what another map goes through; None if no map does."""
        source = self._nodes.get(value.node) if isinstance(value, Output) else None
        if source is None or not source.mapped or source.policy.tolerate:
            return source.name if source is not None and source.mapped else None
        return next(filter(None, map(self._shortened_by, source.varying.values())), None)

    def _constant(self, node: NodeName, parameter: str, value: object, hint: object) -> JSON:
        if type(value) is hint and isinstance(value, bool | int | float | str):
            return value
        if is_secret_type(value) or asks_for_secret(hint):
            self.mistake(f"{node}({parameter}=…) is a secret, and would be kept with the run: {SEE_CONTEXT}")
            return None
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        try:
            plain: JSON = to_jsonable_python(value)
        except (PydanticSerializationError, ValueError, TypeError):
            self.mistake(
                f"{node}({parameter}=…): a {type(value).__name__} cannot be written into a run; "
                "load or make it in a stage, and pass what that stage returns"
            )
            return None
        try:
            parse_value(plain, hint)
        except ValueError as error:
            told = mask_value(parameter, repr(value))
            self.mistake(f"{node}({parameter}={told}): {reason(error)}; it takes {shown(hint)}")
        return plain


def bind(
    signature: inspect.Signature, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Arguments by parameter name, defaults left out. Raises TypeError as a call would."""
    bound = signature.bind(*args, **kwargs)
    arguments: dict[str, object] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        else:
            arguments[name] = value
    return arguments
