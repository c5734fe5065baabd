"""Submit a run: check everything, store the specification, register the run in Redis, send its canvas."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from socket import gethostname
from typing import TYPE_CHECKING, Any

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, StoreError
from orchestrator.authoring.graph import JSON, Graph
from orchestrator.authoring.masking import mask_tags, mask_text, mask_values
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.code import code_of
from orchestrator.lifecycle.changes import ask_commit_of, files_of
from orchestrator.lifecycle.checks import check_graph, check_labels, check_parameters
from orchestrator.lifecycle.reconcile import Remaining
from orchestrator.run_id import RunId, new_run_id
from orchestrator.runs.record import Labels
from orchestrator.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("orchestrator.submission")


@dataclass(frozen=True)
class Prepared:
    """A run that has passed all checks and is not stored anywhere yet."""

    graph: Graph
    parameters: Mapping[str, JSON]
    cache: bool = True  #: whether cached results may be reused
    labels: Labels = field(default_factory=Labels)


def prepare(
    pipeline: Pipeline[..., Any],
    given: Mapping[str, object],
    *,
    queues: Sequence[str],
    cache: bool = True,
    labels: Labels | None = None,
) -> Prepared:
    """Parse the parameters, trace the pipeline and check it; raises with all mistakes, writes nothing."""
    from pydantic_core import to_jsonable_python

    parameters = pipeline.parse(given)
    plain: dict[str, JSON] = to_jsonable_python(parameters)
    check_parameters(pipeline.name, plain)
    graph = pipeline.graph(**parameters)
    check_graph(graph, queues=queues)
    labels = labels or Labels()
    check_labels(labels)
    shown = Labels(name=mask_text(labels.name), tags=mask_tags(labels.tags), note=mask_text(labels.note))
    return Prepared(graph, plain, cache, shown)


def submit(
    prepared: Prepared, *, store: ArtifactStore, runs: RunStore, ids: Callable[[str], RunId] | None = None
) -> RunId:
    """Submit a run and return its id; from then on workers drive it.

    A run is accepted once Redis knows it. If its first messages cannot be sent because Redis becomes
    unavailable, the coordinator sends them. A run that is refused with an error never runs, even if Redis
    knows it, since its specification is removed. `ids` makes an id from a pipeline's name, and is called
    again if the id exists.
    """
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    remaining = None
    while remaining is None:
        remaining = _make_known(_write_down(prepared, store, ids or new_run_id), store, runs)
    try:
        remaining.canvas().start().apply_async()
    except (OperationalError, RedisError) as error:
        extra = {"action": "not_sent", "run": remaining.run}
        log.warning("run %s is accepted, and the coordinator sends it: %s", remaining.run, error, extra=extra)
    return remaining.run


def _make_known(specification: Specification, store: ArtifactStore, runs: RunStore) -> Remaining | None:
    """Register the run in Redis; None if the id exists there. Remove the specification of a refused run."""
    graph, remaining, accepted = specification.graph, Remaining.of(specification), False
    try:
        accepted = runs.submit(
            specification.run,
            pipeline=graph.pipeline,
            parameters=specification.parameters,
            needs=remaining.needs,
            maps=dict(remaining.written_out),
            submitted=specification.submitted.timestamp(),
            handlers=[node.name for node in graph.handlers],
            fail_fast=graph.fail_fast,
            item_followers=graph.item_followers,
        )
    finally:
        if not accepted:
            with suppress(StoreError):
                specification.withdraw(store)
    return remaining if accepted else None


def _write_down(prepared: Prepared, store: ArtifactStore, ids: Callable[[str], RunId]) -> Specification:
    """Store the run's specification under an unused id."""
    graph = prepared.graph
    ask = ask_commit_of(graph)
    made = Specification(
        run=ids(graph.pipeline),
        graph=graph,
        parameters=mask_values(prepared.parameters),  # for display only: stages get theirs from the graph
        submitted=datetime.now(UTC),
        code=code_of(graph.everything),
        files=files_of(graph),
        sent_from=gethostname(),
        cache=prepared.cache,
        labels=prepared.labels,
    )
    commit = ask()
    if commit is not None:
        made = replace(made, commit=commit.id, dirty=commit.dirty)
    while not made.write(store):
        made = replace(made, run=ids(graph.pipeline))
    return made
