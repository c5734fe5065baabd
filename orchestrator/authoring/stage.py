"""A stage: one typed function of a pipeline, with the policy it is run by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from orchestrator.authoring.errors import EmptyMap, InvalidPolicy
from orchestrator.authoring.functions import check_function, copy_metadata
from orchestrator.authoring.graph import StageName
from orchestrator.authoring.policies import Policy, PolicyOptions
from orchestrator.authoring.reference import Step
from orchestrator.authoring.trace import Trace, Use, active_trace, bind
from orchestrator.authoring.unique_names import take_name

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Stage(Generic[P, R]):
    """A stage of pipelines.

    Called in a pipeline's function it records a node and returns a reference to its output; called
    anywhere else it is the plain function.
    """

    function: Callable[P, R]
    name: StageName  #: `<module>.<function>`, also the name of its Celery task
    policy: Policy = field(default_factory=Policy)
    waits: tuple[object, ...] = ()
    conditions: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        copy_metadata(self, self.function)

    @overload
    def __call__(self: Stage[P, None], *args: P.args, **kwargs: P.kwargs) -> Step: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> object:
        """Record a node inside a pipeline; elsewhere call the function."""
        trace = active_trace()
        if trace is None:
            return self.function(*args, **kwargs)
        return self._record(trace, args, kwargs)

    def options(self, **options: Unpack[PolicyOptions]) -> Stage[P, R]:
        """The same stage with parts of its policy replaced, for one use."""
        return replace(self, policy=self.policy.with_options(**options))

    def after(self, *others: object) -> Stage[P, R]:
        """The same stage, to be called only once `others` have succeeded."""
        return replace(self, waits=(*self.waits, *others))

    def only_if(self, condition: object) -> Stage[P, R]:
        """The same stage, to be called only if `condition` comes out true."""
        return replace(self, conditions=(*self.conditions, condition))

    def partial(self, **fixed: object) -> Partial[R]:
        """Fix some arguments, the same for every item of a `map` that follows."""
        return Partial(self, fixed)

    def map(self, *, at_least: int = 0, **varying: object) -> list[R]:
        """Run the stage once for each element of the given lists, which are gone through side by side.

        No elements give an empty list; fewer than `at_least` are an error.
        """
        return self.partial().map(at_least=at_least, **varying)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature."""
        return inspect.signature(self.function)

    def _record(
        self,
        trace: Trace,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        varying: Mapping[str, object] | None = None,
        at_least: int = 0,
    ) -> object:
        varying = varying or {}
        try:
            arguments = bind(self.signature, args, {**kwargs, **varying})
        except TypeError as error:
            trace.mistake(f"{self.function.__name__}(…): {error}")
            arguments = {}
        use = Use(
            stage=self.name,
            function=self.function,
            policy=self.policy,
            arguments={name: value for name, value in arguments.items() if name not in varying},
            varying={name: value for name, value in arguments.items() if name in varying},
            at_least=at_least,
            after=self.waits,
            conditions=self.conditions,
        )
        return trace.record(use)


#: The stages that the imported modules define, by `<module>.<function>`.
stages: dict[StageName, Stage[Any, Any]] = {}


@dataclass(frozen=True)
class Partial(Generic[R]):
    """A stage with some arguments fixed, ready to be mapped over the others."""

    stage: Stage[..., R]
    fixed: Mapping[str, object]

    def map(self, *, at_least: int = 0, **varying: object) -> list[R]:
        """Run the stage once for each element of the given lists, which are gone through side by side.

        A list may also be a reference to one, whose length is then known only during the run. No elements
        give an empty list; fewer than `at_least` are an error, EmptyMap.
        """
        check_map(self.stage.function.__name__, varying, at_least)
        trace = active_trace()
        if trace is None:
            return self._map_here(varying, at_least)
        return cast("list[R]", self.stage._record(trace, (), self.fixed, varying, at_least))

    def _map_here(self, varying: Mapping[str, object], at_least: int) -> list[R]:
        columns = [list(cast("list[object]", values)) for values in varying.values()]
        if len(columns[0]) < at_least:
            raise EmptyMap.of(self.stage.function.__name__, len(columns[0]), at_least)
        rows = zip(*columns, strict=True)
        call = self.stage.function
        return [call(**self.fixed, **dict(zip(varying, row, strict=True))) for row in rows]


def check_map(name: str, varying: Mapping[str, object], at_least: object) -> None:
    """Raise TypeError for a map without lists, InvalidPolicy for an impossible `at_least`."""
    if not isinstance(at_least, int) or at_least < 0:
        raise InvalidPolicy(f"{name}.map(at_least={at_least!r}): a number of items, not below 0")
    if not varying:
        raise TypeError(f"{name}.map() needs a list to go through: .map(name=[…])")


@overload
def stage(function: Callable[P, R], /) -> Stage[P, R]: ...
@overload
def stage(**options: Unpack[PolicyOptions]) -> Callable[[Callable[P, R]], Stage[P, R]]: ...
def stage(function: Callable[P, R] | None = None, /, **options: Unpack[PolicyOptions]) -> object:
    """Make a function a stage of pipelines.

    Its parameters and its result are annotated: tables, arrays, estimators, records and plain values travel
    between workers by their annotation. `queue` says which workers run it, `retry` after which errors it
    is tried again, `time_limit` how many seconds one attempt may take, `cache` that an earlier run's
    result may be taken when code, parameters and inputs are the same (a `version` stands for the code where
    it is given; with `libraries`, the versions of the libraries that it imports count as well), `priority`
    (0 first, 9 last) its place in the queue, and `tolerate` which share of a map's items may fail (their
    results are then left out of the list).
    """

    def decorate(function: Callable[P, R]) -> Stage[P, R]:
        check_function("stage", function)
        parameters = inspect.signature(function).parameters.values()
        if any(each.kind in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL) for each in parameters):
            raise InvalidPolicy(f"stage {function.__name__}: its parameters must be passable by name")
        name = StageName(f"{function.__module__}.{function.__name__}")
        made = Stage(function, name, Policy().with_options(**options))
        take_name("stage", name, function)
        stages[name] = made
        return made

    return decorate if function is None else decorate(function)
