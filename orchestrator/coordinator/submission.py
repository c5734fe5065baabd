"""Submits a run: everything is checked first, then the run is written down, then its canvas is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from socket import gethostname
from typing import TYPE_CHECKING, Any

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import JSON, Graph
from orchestrator.authoring.masking import mask_values
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.code import code_of
from orchestrator.compiler.arrange import arrange
from orchestrator.coordinator.changes import commit_of_pipeline, files_of
from orchestrator.coordinator.checks import check_graph, check_parameters
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Prepared:
    """A run that has passed every check, and of which nothing exists yet."""

    graph: Graph
    parameters: Mapping[str, JSON]
    cache: bool = True  #: whether results of earlier runs may be taken


def prepare(
    pipeline: Pipeline[Any], given: Mapping[str, object], *, queues: Sequence[str], cache: bool = True
) -> Prepared:
    """Parse the parameters, write the pipeline down, check it; raises with all mistakes, touches nothing."""
    from pydantic_core import to_jsonable_python

    parameters = pipeline.parse(given)
    plain: dict[str, JSON] = to_jsonable_python(parameters)
    check_parameters(pipeline.name, plain)
    graph = pipeline.graph(**parameters)
    check_graph(graph, queues=queues)
    return Prepared(graph, plain, cache)


def submit(prepared: Prepared, *, store: ArtifactStore, runs: RunStore) -> RunId:
    """Start a run and return its id; from here on it drives itself."""
    from orchestrator.app import app
    from orchestrator.compiler.canvas import Canvas

    now = datetime.now(UTC)
    graph = prepared.graph
    run = new_run_id(graph.pipeline, now)
    commit = commit_of_pipeline(graph)
    parameters = mask_values(prepared.parameters)  # only to be shown: stages have theirs from the graph
    Specification(
        run=run,
        graph=graph,
        parameters=parameters,
        submitted=now,
        code=code_of(graph.everything),
        files=files_of(graph),
        sent_from=gethostname(),
        commit=commit.id if commit else "",
        dirty=commit is not None and commit.dirty,
        cache=prepared.cache,
    ).write(store)
    plan = arrange(graph)
    maps = {node.name: node.known_length or 0 for node in graph if plan.written_out(node)}
    runs.submit(
        run,
        pipeline=graph.pipeline,
        parameters=parameters,
        needs={node.name: len(node.needs) for node in graph},
        maps=maps,
        submitted=now.timestamp(),
        handlers=[node.name for node in graph.handlers],
        fail_fast=graph.fail_fast,
    )
    Canvas(app, plan, run).start().apply_async()
    return run


def new_run_id(pipeline: str, now: datetime) -> RunId:
    """A run id that sorts by time and reads aloud: `digits-20261124-031502-9f3a`."""
    return RunId(f"{pipeline}-{now:%Y%m%d-%H%M%S}-{token_hex(2)}")
