"""Conclude a finished run: write its end to MLflow and to the artifact store, then mark that in Redis."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.archive.rounds import Round
from orchestrator.archive.run_record import read_final, remove_marks, write_final
from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.graph import (
    Graph,
    NodeName,
    group_and_index,
    indexes_of,
    item_at,
    node_of,
    with_groups,
)
from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.states import NodeState
from workers.runtime.resources import WorkerResources
from workers.runtime.run_context import RunContext
from workers.tracking import Data, NodeInfo, RunInfo
from workers.tracking.records import AttemptOrder, MapInfo, is_nested

log = logging.getLogger("orchestrator.conclude")

#: The states of items that were run, in this round or in an earlier one.
_RAN = (NodeState.SUCCEEDED, NodeState.FAILED)
#: Maximum number of files or outputs that are logged to MLflow as inputs of a run.
MOST_DATA = 20


@dataclass(frozen=True)
class _End:
    """One end of a run, as recorded in Redis or, if Redis has lost it, in the store."""

    record: RunRecord  #: without nodes, if it comes from Redis and `context` is None
    tracebacks: Mapping[str, str]
    context: RunContext | None  #: None: the specification cannot be read any more
    told_as: str = ""  #: `RunStatus.ended` verbatim, if Redis knows the run

    @property
    def which(self) -> tuple[int, datetime | None]:
        """Identify this end among all ends of the run."""
        return (self.record.round, self.record.ended)


def conclude(run: RunId, resources: WorkerResources) -> None:
    """Write the end of a run to the store and to MLflow; idempotent.

    If the run was resumed meanwhile and has ended again, that end is written as well: the latest end is
    written last, even if a worker was paused in between.
    """
    written = None
    while (end := _latest_end(run, resources)) is not None and end.which != written:
        mlflow_run_id = _write_down(end, resources)
        written = end.which
        retention = resources.settings.retention
        if resources.runs.conclude(run, end.told_as, mlflow_run_id=mlflow_run_id, retention=retention):
            return


def _latest_end(run: RunId, resources: WorkerResources) -> _End | None:
    """Return the latest end of the run; None while the run is open, or if it is unknown."""
    status = resources.runs.status(run)
    if status is None:
        final = read_final(resources.store, run)
        return _End(*final, _context(run, final[0].round, resources)) if final is not None else None
    if not status.ended:
        return None
    reader, context = RunReader(resources.runs.client), _context(run, status.round, resources)
    record = reader.summary(run) if context is None else context.specification.record(reader)
    return _End(record, reader.tracebacks(run), context, status.ended) if record.state.over else None


def _context(run: RunId, round: int, resources: WorkerResources) -> RunContext | None:
    try:
        return resources.context(run, round)
    except (StoreError, UnknownRun) as error:
        if error.transient:
            raise
        _say_lost(run, error)
        return None


def _write_down(end: _End, resources: WorkerResources) -> str | None:
    """Write one end of a run to the store and to MLflow; return the id of its MLflow run.

    If the specification cannot be read, only what Redis knows is logged to MLflow.
    """
    record = end.record
    if end.context is not None:
        _keep(resources, end)  # before MLflow, which may be unavailable for long
        resources.flush_outputs(record.id)  # a concluded run is not resumed to make them again
    resources.tracking.deliver(record.id)
    mlflow_run_id = resources.tracking.conclude(_told_to_mlflow(end, resources))
    if end.context is not None:
        _keep(resources, replace(end, record=replace(record, mlflow_run_id=mlflow_run_id)), concluded=True)
    else:
        remove_marks(resources.store, record.id, record.round)
    return mlflow_run_id


def _told_to_mlflow(end: _End, resources: WorkerResources) -> RunInfo:
    record, ended = end.record, end.record.ended or datetime.now(UTC)
    told = {node.name: node.state for node in record.nodes}
    states = told or RunReader(resources.runs.client).raw_states(record.id)
    info = RunInfo(
        run_id=record.id,
        pipeline=record.pipeline,
        parameters=record.parameters,
        started=record.submitted or record.started or ended,
        ended=ended,
        state=record.state.value,
        round=record.round,
        error=record.error,
        nodes=[NodeInfo(name=name, state=state.value) for name, state in states.items()],
        committed=partial(attempt_of, record.id, _round_of(end, resources.store), resources.store),
    )
    if end.context is None:
        return info
    specification = end.context.specification
    return replace(
        info,
        parameters=specification.parameters,
        started=specification.submitted,
        name=specification.labels.name,
        tags=specification.labels.tags,
        note=specification.labels.note,
        commit=specification.commit,
        dirty=specification.dirty,
        data=_data_of(end.context, resources),
        maps=list(_maps_of(end.context, record)),
    )


def _maps_of(context: RunContext, record: RunRecord) -> Iterator[MapInfo]:
    """Return the maps of which an item was run, and that have MLflow runs of their own."""
    items: dict[NodeName, list[NodeRecord]] = {}
    for node in record.nodes:
        group, index = group_and_index(node.name)
        if index is not None:
            items.setdefault(group, []).append(node)
    states: dict[NodeName, NodeState] = {}
    order = {name: place for place, name in enumerate(context.graph.order)}
    for name in sorted(items, key=lambda name: order.get(node_of(name), 0)):
        records, map = items[name], context.graph[node_of(name)]
        if len(indexes_of(name)) + 1 < map.depth:
            continue  # its items are maps, of which these did not get any
        states[name] = _state_of(name, records, context.graph, states)
        if is_nested(map.policy.queue) and any(item.attempts or item.state in _RAN for item in records):
            yield MapInfo(name=name, stage=map.stage, state=states[name].value)


def _state_of(
    name: NodeName, items: Sequence[NodeRecord], graph: Graph, others: Mapping[NodeName, NodeState]
) -> NodeState:
    """Return how a map ended, by its items, and by how the maps ended that it followed."""
    map, states = graph[node_of(name)], Counter(item.state for item in items)
    if not map.policy.tolerates(states[NodeState.FAILED], len(items)):
        return NodeState.FAILED
    done = states[NodeState.SUCCEEDED] + states[NodeState.FAILED]
    if (map.name, map.depth) in graph.partial:
        edges = graph.item_edges.get(map.name, {}).items()
        followed = [item_at(source, indexes_of(name)) for source, shared in edges if shared == map.depth]
        within = (state for each, state in others.items() if not {*followed}.isdisjoint(with_groups(each)))
        is_excused = all(state is NodeState.SUCCEEDED for state in within)
        done += states[NodeState.SKIPPED] + is_excused * states[NodeState.UPSTREAM_FAILED]
    return NodeState.SUCCEEDED if done == len(items) else NodeState.CANCELLED


def _round_of(end: _End, store: ArtifactStore) -> Round:
    """Return the round that ended, which needs no specification."""
    if end.context is not None:
        return end.context.round
    with suppress(StoreError):
        return Round.read(store, end.record.id, end.record.round)
    return Round(end.record.round)


def attempt_of(run: RunId, round: Round, store: ArtifactStore, node: str) -> AttemptOrder | None:
    """Return round and number of the attempt that committed a node's output; None if nothing is committed."""
    own, (_, index) = NodeName(node), group_and_index(node)
    with suppress(StoreError):
        if index is not None:
            number = read_items(store, run, round.stored_as(own)).numbers.get(index)
            return (number.round, number.attempt) if number is not None else None
        for name in dict.fromkeys((round.handler_stored_as(own), round.stored_as(own))):
            manifest = Manifest.read(store, run, name)
            if manifest is not None:
                return (manifest.round, manifest.attempt)
    return None


def _data_of(context: RunContext, resources: WorkerResources) -> list[Data]:
    """Return the files that parameters name or, if there are none, the outputs of nodes without inputs."""
    files = context.specification.files
    if files:
        return [
            Data(name=Path(path).name, digest=digest, source=path)
            for path, digest in list(files.items())[:MOST_DATA]
        ]
    first = [node for node in context.graph if not node.needs and not node.mapped][:MOST_DATA]
    found = {node.name: _manifest(context, node.name, resources) for node in first}
    return [
        Data(name=name, digest=manifest.digest, source=f"runs/{context.run}/nodes/{name}", kind="output")
        for name, manifest in found.items()
        if manifest is not None
    ]


def _manifest(context: RunContext, node: NodeName, resources: WorkerResources) -> Manifest | None:
    try:
        return Manifest.read(resources.store, context.run, context.stored_as(context.node_ref(node)))
    except StoreError:
        return None  # the run is over: a missing output must not keep it from being concluded


def _keep(resources: WorkerResources, end: _End, *, concluded: bool = False) -> None:
    """Write the run's record to the store; log and continue if that fails permanently."""
    try:
        write_final(resources.store, end.record, end.tracebacks, concluded=concluded)
    except StoreError as error:
        if error.transient:
            raise
        _say_lost(end.record.id, error)


def _say_lost(run: RunId, error: OrchestratorError) -> None:
    log.error("the end of run %s was not written down: %s", run, error, extra={"action": "record lost"})
