"""A pipeline: a function that calls stages, and can be traced into a graph or run in this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.errors import InvalidDefinition
from orchestrator.authoring.functions import check_function, copy_metadata, place_of
from orchestrator.authoring.graph import Graph
from orchestrator.authoring.masking import SEE_CONTEXT, asks_for_secret
from orchestrator.authoring.parameters import parse_parameters
from orchestrator.authoring.stage import Stage, check_map
from orchestrator.authoring.trace import MappedPipeline, Trace, Use, active_trace
from orchestrator.authoring.unique_names import take_name

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True)
class Pipeline(Generic[P, R]):
    """A pipeline, made by `@pipeline` from a function that calls stages."""

    function: Callable[P, R]
    name: str
    module: str
    on_failure: tuple[Stage[..., Any], ...] = ()
    fail_fast: bool = False

    def __post_init__(self) -> None:
        copy_metadata(self, self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Inside another pipeline, add this one's nodes to it; elsewhere run it in this process.

        What happens after a failure is then the other pipeline's to say. Elsewhere it returns what
        `run_locally` does.
        """
        if active_trace() is not None:
            return self.function(*args, **kwargs)
        return cast("R", self.run_locally(*args, **kwargs))

    def partial(self, **fixed: object) -> PartialPipeline[R]:
        """Fix some arguments, the same for every copy that a `map` makes of the pipeline."""
        return PartialPipeline(self, fixed)

    def map(self, *, at_least: int = 0, **varying: object) -> list[R]:
        """Inside another pipeline, run this one once for each element of the given lists, side by side.

        Each copy goes on by itself, and its nodes are named `train_one[3].fit`. The pipeline has to return
        what one of its stages gives; those make the list. A list may also be a reference to one, whose length
        is then known only during the run. Fewer elements than `at_least` are an error.
        """
        return self.partial().map(at_least=at_least, **varying)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def arguments(self, *args: object, **kwargs: object) -> dict[str, object]:
        """What a call gives, by the names of the parameters; raises TypeError for a value too many."""
        return {**inspect.signature(self.function).bind_partial(*args).arguments, **kwargs}

    def parse(self, given: Mapping[str, object]) -> dict[str, object]:
        """The parameters for one run, from values or text; raises InvalidParameters."""
        return parse_parameters(self.name, self.function, given)

    def graph(self, *args: P.args, **kwargs: P.kwargs) -> Graph:
        """Trace the pipeline with these parameters; raises InvalidPipeline with all its mistakes."""
        trace, returned = Trace(self.name), None
        try:
            with trace.recording():
                returned = self.function(*args, **kwargs)
        except TypeError as error:
            if "no value while the pipeline is written down" not in str(error):
                raise
            trace.mistake(str(error))
        except AttributeError as error:
            trace.mistake(f"{error} (only .after and .only_if can be called on a stage's output)")
        for each in self.on_failure:
            trace.handle_failure(
                Use(stage=each.name, function=each.function, policy=each.policy, arguments={})
            )
        return trace.graph(fail_fast=self.fail_fast, returned=returned)

    def run_locally(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, object]:
        """Run the pipeline in this process, without broker, store or tracking: for tests and debuggers.

        Returns each node's output by its name, a map's as a list; what was skipped is left out. As on
        workers, stages are tried again by their policy (at once: its waits are left out), a map's failures
        are tolerated by its policy, and after any other failure the branches that do not need it go on,
        unless the pipeline fails fast. Then the `on_failure` stages are told, and the first error is raised.

        Models are logged and registered in memory, and there is no champion when it begins. Within
        `workers.tracking.tracked(...)` MLflow has them, as on workers.
        """
        from orchestrator.authoring.local import run_graph  # workers and the command line do not need it

        parameters = self.parse(self.arguments(*args, **kwargs))
        return run_graph(cast("Callable[..., Graph]", self.graph)(**parameters))


@dataclass(frozen=True)
class PartialPipeline(Generic[R]):
    """A pipeline with some arguments fixed, ready to be mapped over the others."""

    pipeline: Pipeline[..., R]
    fixed: Mapping[str, object]

    def map(self, *, at_least: int = 0, **varying: object) -> list[R]:
        """Run the pipeline once for each element of the given lists, as `Pipeline.map` does."""
        name = self.pipeline.name
        check_map(name, varying, at_least)
        trace = active_trace()
        if trace is None:
            raise TypeError(
                f"{name}.map(…) is for use in a pipeline; elsewhere call {name}.run_locally(…) for each"
            )
        mapped = MappedPipeline(
            name=name,
            function=self.pipeline.function,
            fixed=self.fixed,
            varying=varying,
            at_least=at_least,
        )
        return cast("list[R]", trace.map_pipeline(mapped))


#: The pipelines that the imported modules define, by `<module>.<function>`.
pipelines: dict[str, Pipeline[..., Any]] = {}


def _refuse_secrets(function: Callable[..., object]) -> None:
    """Raise InvalidDefinition for a parameter that is a secret: as JSON it would become stars."""
    try:
        hints = hints_of(function)
    except (NameError, TypeError):
        return  # reported when the pipeline is traced
    for name in inspect.signature(function).parameters:
        if asks_for_secret(hints.get(name)):
            raise InvalidDefinition(
                f"pipeline {function.__name__} ({place_of(function)}) takes a secret as its parameter "
                f"'{name}', and parameters are kept with the run",
                hint=SEE_CONTEXT,
            )


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(
    *, on_failure: Stage[..., Any] | Sequence[Stage[..., Any]] = (), fail_fast: bool = False
) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(
    function: Callable[P, R] | None = None,
    /,
    *,
    on_failure: Stage[..., Any] | Sequence[Stage[..., Any]] = (),
    fail_fast: bool = False,
) -> object:
    """Make a function a pipeline: its parameters are those of a run, the stages it calls become nodes.

    When a node fails, the branches that do not need it are finished first; with `fail_fast` they are stopped
    at once. Then the `on_failure` stages run, side by side; each takes one argument, a `Failure`.
    """
    handlers = (on_failure,) if isinstance(on_failure, Stage) else tuple(on_failure)

    def decorate(function: Callable[P, R]) -> Pipeline[P, R]:
        check_function("pipeline", function)
        _refuse_secrets(function)
        made = Pipeline(function, function.__name__, function.__module__, handlers, fail_fast)
        name = f"{made.module}.{made.name}"
        take_name("pipeline", name, function)
        pipelines[name] = made
        return made

    return decorate if function is None else decorate(function)
