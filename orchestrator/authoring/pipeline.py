"""A pipeline: a function that calls stages, and can be written down as a graph or run in this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, ParamSpec, cast

from orchestrator.authoring.disguise import dress
from orchestrator.authoring.graph import Graph
from orchestrator.authoring.parameters import parse_parameters
from orchestrator.authoring.registry import pipelines
from orchestrator.authoring.trace import Trace, active_trace

P = ParamSpec("P")


@dataclass(frozen=True)
class Pipeline(Generic[P]):
    """A pipeline, made by `@pipeline` from a function that calls stages."""

    function: Callable[P, object]
    name: str
    module: str

    def __post_init__(self) -> None:
        dress(self, self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> object:
        """Inside another pipeline, add this one's nodes to it; elsewhere run it in this process."""
        if active_trace() is not None:
            return self.function(*args, **kwargs)
        return self.run_locally(*args, **kwargs)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def parse(self, given: Mapping[str, object]) -> dict[str, object]:
        """The parameters for one run, from values or text; raises InvalidParameters."""
        return parse_parameters(self.name, self.function, given)

    def graph(self, *args: P.args, **kwargs: P.kwargs) -> Graph:
        """Write the pipeline down for these parameters; raises InvalidPipeline with all its mistakes."""
        trace = Trace(self.name)
        try:
            with trace.recording():
                self.function(*args, **kwargs)
        except TypeError as error:
            if "no value while the pipeline is written down" not in str(error):
                raise
            trace.mistake(str(error))
        except AttributeError as error:
            trace.mistake(f"{error} (only .after and .only_if can be called on a stage's output)")
        return trace.graph()

    def run_locally(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, object]:
        """Run the pipeline in this process, without broker, store or tracking: for tests and debuggers.

        Returns each node's output by its name, a map's as a list; what was skipped is left out. An error in a
        stage is raised as it is.
        """
        from orchestrator.authoring.local import run_graph

        positional = inspect.signature(self.function).bind_partial(*args).arguments
        parameters = self.parse({**positional, **kwargs})
        return run_graph(cast("Callable[..., Graph]", self.graph)(**parameters))


def pipeline(function: Callable[P, object], /) -> Pipeline[P]:
    """Make a function a pipeline: its parameters are those of a run, the stages it calls become nodes."""
    made = Pipeline(function, function.__name__, function.__module__)
    pipelines[f"{made.module}.{made.name}"] = made
    return made
