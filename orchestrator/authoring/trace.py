"""Traces a pipeline into a graph: runs its function once, with references in place of values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, cast

from orchestrator.authoring.annotations import (
    assignable,
    element_of,
    fields_of,
    has_elements,
    hints_of,
    part_of,
    shown,
)
from orchestrator.authoring.errors import EmptyMap, InvalidPipeline, UnevenMap
from orchestrator.authoring.failure import Failure
from orchestrator.authoring.graph import (
    JSON,
    Constant,
    Element,
    FailureOfRun,
    Fields,
    Gather,
    Graph,
    Input,
    Node,
    NodeName,
    Not,
    Output,
    Result,
    StageName,
    depth_of,
    elements_in,
    find_cycle,
    known_length,
    outermost,
    outputs_in,
    scope_of,
    shared_scopes,
)
from orchestrator.authoring.masking import SEE_CONTEXT, asks_for_secret, is_secret_type, mask_value
from orchestrator.authoring.parameters import parse_value, reason
from orchestrator.authoring.policies import Policy
from orchestrator.authoring.reference import Reference, given_by, hint_of, node_of, output_of

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


@dataclass(frozen=True, kw_only=True)
class MappedPipeline:
    """A pipeline that is run once for each element of lists."""

    name: str
    function: Callable[..., object]
    fixed: Mapping[str, object]
    varying: Mapping[str, object]
    at_least: int = 0


@dataclass
class _Scope:
    """A mapped pipeline while its function is traced."""

    function: Callable[..., object]
    lists: dict[str, Input]  #: what it goes through, by `<scope>.<parameter>`
    at_least: int
    given: Mapping[str, Sequence[object]]  #: of those lists the ones that are known, as they were given


class Trace:
    """The nodes recorded so far, and the mistakes found on the way."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self._scope = ""  #: the mapped pipeline that is traced now
        self._scopes: dict[str, _Scope] = {}
        self._returned: set[str] = set()  #: nodes whose outputs mapped pipelines return
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

    def graph(self, *, fail_fast: bool = False, returned: object = None) -> Graph:
        """What was recorded of a pipeline that `returned` this; raises InvalidPipeline with every mistake."""
        result = self._result(returned)
        if cycle := find_cycle(self._nodes.values()):
            self.mistake(f"a cycle: {' → '.join(cycle)}; remove one of these .after(…)")
        if not self._nodes and not self._mistakes:
            self.mistake("it calls no stage")
        if self._mistakes:
            raise InvalidPipeline(self.pipeline, self._mistakes)
        nodes, handlers = tuple(self._nodes.values()), tuple(self._handlers.values())
        return Graph(self.pipeline, nodes, handlers, fail_fast=fail_fast, result=result)

    def _result(self, returned: object) -> Result | None:
        """What the pipeline returns, as data; None unless a stage gives some of it."""
        if not _holds_reference(returned):
            return None
        if (named := _named(returned)) is not None:
            return Fields({name: self._part_of_result(value) for name, value in named.items()})
        return cast("Output | Not | Gather", self._part_of_result(returned))

    def _part_of_result(self, value: object) -> Input:
        if isinstance(value, Reference):
            return self._made_of(NodeName("return"), value)
        if isinstance(value, list | tuple):
            return Gather(tuple(map(self._part_of_result, value)))
        return Constant(self._constant(NodeName("return"), "result", value, Any))

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
        self._check_lengths(node.name, node.lists, node.at_least)
        self._nodes[name] = node
        self.order(name, use.after)
        for condition in use.conditions:
            self.condition(name, condition)
        self._tell_length(name)
        hint = list[result] if use.varying else result  # type: ignore[valid-type]
        return Reference(self, Output(name), hint)

    def map_pipeline(self, mapped: MappedPipeline) -> Reference:
        """Add the nodes of a pipeline that is run once for each element of its lists."""
        name = self._fresh_name(mapped.name)
        hints = self._hints_of(mapped.name, mapped.function)
        try:
            bind(inspect.signature(mapped.function), (), {**mapped.fixed, **mapped.varying})
        except TypeError as error:
            self.mistake(f"{mapped.name}.map(…): {error}")
            return Reference(self, Output(name), Any)
        varying = {key: _as_list(value) for key, value in mapped.varying.items()}
        lists = {
            f"{name}.{key}": self._varying(name, key, value, hints.get(key, Any))
            for key, value in varying.items()
        }
        self._check_lengths(name, lists, mapped.at_least)
        given = {f"{name}.{key}": value for key, value in varying.items() if isinstance(value, list)}
        around = [self._scopes[outermost(self._scope, depth + 1)] for depth in range(depth_of(self._scope))]
        if any(scope.function is mapped.function for scope in around):
            self.mistake(f"{name}.map(…) is called in {mapped.name} itself, which would never end")
            return Reference(self, Output(name), list[Any])
        self._scopes[name] = _Scope(mapped.function, lists, mapped.at_least, given)
        elements = {
            key: Reference(self, Element(f"{name}.{key}"), hints.get(key, Any)) for key in mapped.varying
        }
        outer, self._scope = self._scope, name
        try:
            returned = mapped.function(**{**mapped.fixed, **elements})
        finally:
            self._scope = outer
        return self._results(name, returned)

    def _results(self, scope: NodeName, returned: object) -> Reference:
        """The list of what the copies of a mapped pipeline return."""
        output = output_of(returned) if isinstance(returned, Reference) else None
        if isinstance(output, Output) and f"{output.node}.".startswith(f"{scope}."):
            assert isinstance(returned, Reference)  # noqa: S101
            self._returned.add(output.node)
            return Reference(self, output, list[hint_of(returned)])  # type: ignore[misc]
        given = "nothing" if returned is None else "what none of its stages gives"
        self.mistake(f"{scope}.map(…): {scope} returns {given}; have it return what one of its stages gives")
        return Reference(self, Output(scope), list[Any])

    def _tell_length(self, name: NodeName) -> None:
        """Have a node of a mapped pipeline go through its lists, unless another one tells it their length."""
        for depth in range(depth_of(self._scope), 0, -1):
            around, node = outermost(self._scope, depth), self._nodes[name]
            given = (*node.inputs.values(), *node.lists.values(), *node.conditions)
            takes_elements = any(each.depth == depth for value in given for each in elements_in(value))
            if takes_elements or not any(node.copies_shared(need) >= depth for need in node.needs):
                self._nodes[name] = self._through_lists_of(around, node)

    def _through_lists_of(self, around: str, node: Node) -> Node:
        scope, given = self._scopes[around], (*node.inputs.values(), *node.lists.values(), *node.conditions)
        taken = {each.list for value in given for each in elements_in(value)}
        lists = {key: value for key, value in scope.lists.items() if ":" not in key or key in taken}
        others = [each.copies for each in self._nodes.values() if each.name != node.name]
        is_first = scope.at_least > 0 and not any(around in each for each in others)
        copies = {around: scope.at_least} if is_first else {}
        return replace(node, each={**node.each, **lists}, copies={**node.copies, **copies})

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
        found = [node_of(other) if isinstance(other, Reference) else None for other in others]
        names = [each for each in found if each is not None]
        if len(names) < len(others):
            self.mistake(f"{name}.after(…) takes what other stages returned in this pipeline")
        node = self._nodes[name]
        self._nodes[name] = replace(node, after=tuple(dict.fromkeys([*node.after, *names])))

    def condition(self, name: NodeName, condition: object) -> None:
        """Make a node run only if another one's output is true."""
        if not isinstance(condition, Reference):
            self.mistake(f"{name}.only_if(…) takes what another stage returned in this pipeline")
            return
        node, made = self._nodes[name], self._made_of(name, condition)
        self._nodes[name] = replace(node, conditions=(*node.conditions, made))
        if any(elements_in(made)):
            self._tell_length(name)

    def _fresh_name(self, of: str) -> NodeName:
        base = of.rpartition(".")[2]
        base = f"{self._scope}.{base}" if self._scope else base
        name, use = base, 1
        while name in self._nodes or name in self._handlers or name in self._scopes:
            use += 1
            name = f"{base}-{use}"
        return NodeName(name)

    def _hints(self, use: Use) -> Mapping[str, object]:
        return self._hints_of(use.stage, use.function)

    def _hints_of(self, name: str, function: Callable[..., object]) -> Mapping[str, object]:
        try:
            return hints_of(function)
        except (NameError, TypeError) as error:
            self.mistake(f"{name}: its annotations cannot be read: {error}")
            return {}

    def _made_of(self, name: NodeName, reference: Reference) -> Output | Element | Not:
        """What a reference stands for, as data; a part of a known element is looked up now."""
        made = output_of(reference)
        others = (each for each in _sources(made) if not f"{self._scope}.".startswith(f"{scope_of(each)}."))
        inside = next((each for each in others if scope_of(each) and each not in self._returned), None)
        if inside is not None:
            self.mistake(
                f"{name} takes {reference}, which the mapped pipeline {scope_of(inside)} does not return"
            )
        of = made.of if isinstance(made, Not) else made
        if isinstance(of, Element) and of.path:
            part = self._known_part(name, of)
            return Not(part) if isinstance(made, Not) else part
        return made

    def _known_part(self, name: NodeName, element: Element) -> Element:
        """A part of an element, as the element of a list of such parts where the list is known."""
        return self._with_parts(name, element.list, element.path, 0) or element

    def _with_parts(self, name: NodeName, of: str, path: tuple[str | int, ...], depth: int) -> Element | None:
        """The element of a list of parts of what another one has; None if that is not known yet.

        The list may be an element itself, of the list of an outer mapped pipeline: its parts are `depth`
        lists deep.
        """
        scope, key = self._scopes[scope_of(of)], ":".join([of, *map(str, path), *["*"] * depth])
        if key not in scope.lists:
            whole = scope.lists[of]
            if of in scope.given:
                parts = [_parts_of(value, path, depth) for value in scope.given[of]]
                made: Input | None = self._input(name, key, parts, Any)
            elif isinstance(whole, Element) and not whole.path:
                made = self._with_parts(name, whole.list, path, depth + 1)
            else:
                made = None
            if made is None:
                return None
            scope.lists = {**scope.lists, key: made}
        return Element(key)

    def _input(self, node: NodeName, parameter: str, value: object, hint: object) -> Input:
        if isinstance(value, Reference):
            if not assignable(hint_of(value), hint):
                self.mistake(
                    f"{node}({parameter}={value}): {given_by(value)}, but {node} takes {shown(hint)}"
                )
            return self._made_of(node, value)
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
            given = given_by(value)
            if not has_elements(hint_of(value)):
                self.mistake(f"{node}.map({parameter}={value}): {given}, but a map goes through a list")
            elif not assignable(element_of(hint_of(value)), hint):
                self.mistake(f"{node}.map({parameter}={value}): {given}, but each item is a {shown(hint)}")
            return self._made_of(node, value)
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
            self.mistake(f"{node}.map({parameter}=…) takes a list, not {type(value).__name__}")
            return Constant([None])
        return self._input(node, parameter, list(value), list[hint])  # type: ignore[valid-type]

    def _map_of(self, value: Input) -> tuple[Node, int] | None:
        """The map whose items of a depth make a list, and that depth; None for any other list."""
        source = self._nodes.get(value.node) if isinstance(value, Output) else None
        if source is None:
            return None
        depth = shared_scopes(self._scope, source.scope) + 1
        return (source, depth) if source.depth >= depth else None

    def _lists_of(self, map: Node, depth: int) -> Mapping[str, Input]:
        """The lists that the items of a depth of a map go through."""
        is_own = depth > depth_of(map.scope)
        return map.varying if is_own else self._scopes[outermost(map.scope, depth)].lists

    def _is_partial(self, map: Node, depth: int) -> bool:
        nodes = tuple(self._nodes.values())
        may_be = self._scopes or any(node.policy.tolerate for node in nodes)
        return bool(may_be) and (map.name, depth) in Graph(self.pipeline, nodes).partial

    def _known_length(self, value: Input) -> int | None:
        """How many elements a list has, also as that of a map whose items all have to succeed."""
        found = self._map_of(value)
        if found is None or self._is_partial(*found):
            return known_length(value)
        lengths = map(self._known_length, self._lists_of(*found).values())
        return next((length for length in lengths if length is not None), None)

    def _check_lengths(self, name: NodeName, lists: Mapping[str, Input], at_least: int) -> None:
        lengths = {
            parameter.rpartition(".")[2]: self._known_length(value) for parameter, value in lists.items()
        }
        known = {parameter: length for parameter, length in lengths.items() if length is not None}
        if len(set(known.values())) > 1:
            self.mistake(str(UnevenMap.of(name, known)))
        elif known and min(known.values()) < at_least:
            self.mistake(str(EmptyMap.of(name, min(known.values()), at_least)))
        shortened = {parameter: self._shortened_by(value) for parameter, value in lists.items()}
        if len(set(shortened.values())) > 1:
            by = next(name for name in shortened.values() if name is not None)
            listed = ", ".join(shortened)
            self.mistake(
                f"{name}.map({listed}): {by} leaves out the items that it lets fail, so these lists "
                f"may not fit side by side; have {by} return all that belongs together"
            )

    def _shortened_by(self, value: Input) -> NodeName | None:
        """The map that may leave items out of what another map goes through; None if no map does."""
        found = self._map_of(value)
        if found is None:
            return None
        if self._is_partial(*found):
            return found[0].name
        return next(filter(None, map(self._shortened_by, self._lists_of(*found).values())), None)

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


def _named(returned: object) -> Mapping[str, object] | None:
    """What a mapping or a record consists of, by name; None for anything else."""
    if isinstance(returned, Mapping):
        return {str(name): value for name, value in returned.items()}
    if isinstance(returned, Reference) or (fields := fields_of(type(returned))) is None:
        return None
    return {name: getattr(returned, name) for name in fields}


def _holds_reference(value: object) -> bool:
    if isinstance(value, Reference):
        return True
    named = _named(value)
    parts = named.values() if named is not None else value if isinstance(value, list | tuple) else ()
    return any(map(_holds_reference, parts))


def _as_list(value: object) -> object:
    """A list of what can be gone through only once; anything else as it is."""
    is_plain = isinstance(value, Reference | str | bytes | Mapping) or not hasattr(value, "__iter__")
    return value if is_plain else list(cast("Iterable[object]", value))


def _parts_of(value: object, path: Sequence[str | int], depth: int) -> object:
    if not depth:
        return part_of(value, path)
    return [_parts_of(each, path, depth - 1) for each in cast("Sequence[object]", value)]


def _sources(made: Output | Element | Not) -> Iterator[str]:
    """The names of nodes, and of lists, that an input stands for."""
    yield from (output.node for output in outputs_in(made))
    yield from (element.list for element in elements_in(made))


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
