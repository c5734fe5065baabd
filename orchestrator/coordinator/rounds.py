"""Carries a run on: what is done stays done, the rest is sent as a new round of the same run."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.artifacts.tree import shown_value
from orchestrator.authoring.graph import NodeName
from orchestrator.compiler.arrange import arrange
from orchestrator.coordinator.damage import lost_work
from orchestrator.coordinator.progress import progress_of
from orchestrator.coordinator.submission import code_of
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import Reopening, RunStore

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

log = logging.getLogger("orchestrator.rounds")


def changed_nodes(specification: Specification) -> frozenset[NodeName]:
    """The nodes whose stage's code is not what it was when the run was sent, and all that need them."""
    now = code_of(specification.graph)
    changed = {
        node.name
        for node in specification.graph
        if node.stage in now and now[node.stage] != specification.code.get(node.stage, now[node.stage])
    }
    after = (name for each in changed for name in specification.graph.descendants(each))
    return frozenset(changed | set(after))


def send_round(run: RunId, *, store: ArtifactStore, runs: RunStore) -> int:
    """Send what is left of a run, whatever Redis knows of it; raises UnknownRun.

    Returns the round's number, or 0 if nothing is left to do.
    """
    from orchestrator.app import app
    from orchestrator.compiler.canvas import Canvas

    specification = Specification.read(store, run)
    graph = specification.graph
    latest = Round.latest(store, run)
    number = latest.number + 1
    changed = changed_nodes(specification)
    latest = latest.redoing(changed, number)
    progress = progress_of(run, graph, store, latest)
    lost = lost_work(graph, progress, store)
    if lost:
        listed = ", ".join(sorted(lost))
        log.warning("lost or altered in the store, so done again: %s", listed, extra={"action": "redone"})
        latest, progress = latest.redoing(lost, number), progress.without(lost)
    done = frozenset(node.name for node in graph if progress.is_done(node))
    left = graph.without(done)
    if not len(left):
        return 0
    plan = arrange(left)
    maps = {
        node.name: (node.known_length, node.known_length - progress.items_done(node))
        for node in graph
        if node.known_length is not None and (node.name in done or plan.written_out(left[node.name]))
    }
    Round(number, done, latest.redone).write(store, run)
    if changed:
        replace(specification, code=code_of(graph)).rewrite(store)
    runs.reopen(
        run,
        Reopening(
            pipeline=graph.pipeline,
            parameters=specification.parameters,
            submitted=specification.submitted.timestamp(),
            open=sum(maps[node.name][1] if node.name in maps else 1 for node in left),
            done={name: shown_value(output) for name, output in progress.outputs.items()},
            maps=maps,
        ),
    )
    Canvas(app, plan, run, number).start().apply_async()
    return number
