"""Resume a run: what is done stays done, the rest is sent as a new round of the same run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.archive.manifest import put_torn_aside, write_items
from orchestrator.archive.rounds import Round, latest_number
from orchestrator.archive.specification import Specification
from orchestrator.archive.tombstone import check_not_pruned, is_being_pruned, is_pruned
from orchestrator.artifacts.tree import shown_value
from orchestrator.authoring.graph import Graph, Node, NodeName, group_and_index, indexes_of, node_of
from orchestrator.authoring.masking import mask_values
from orchestrator.lifecycle.changes import as_it_is_now, changed_nodes
from orchestrator.lifecycle.ending import send_conclusion
from orchestrator.lifecycle.lost_outputs import lost_work
from orchestrator.lifecycle.progress import Progress, progress_of
from orchestrator.lifecycle.reconcile import Remaining, reconcile, round_of
from orchestrator.run_id import RunId
from orchestrator.runs.errors import RoundTaken
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import NodeState, RunState
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import FencingNumber, Reopening, RunEnding

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree

log = logging.getLogger("orchestrator.rounds")

FOLLOW = "follow it with: orchestrator logs {run} --follow"


def send_round(
    run: RunId, *, store: ArtifactStore, runs: RunStore, ended_otherwise: frozenset[NodeName] = frozenset()
) -> int:
    """Send what is left of a run as a new round; return its number. Raises UnknownRun.

    It does not matter what Redis knows of the run. The nodes in `ended_otherwise` have ended without success
    and are not run again. If nothing is left to do, because all of it is stored and Redis has lost that, the
    run ends. Of several concurrent resumptions one is accepted, and the others raise RoundTaken.
    """
    expected = runs.status(run)
    specification = Specification.read(store, run)
    graph = specification.graph
    latest = round_of(run, expected, store)
    number = latest_number(store, run) + 1
    changed = changed_nodes(specification)
    latest = latest.redoing(changed, number)
    progress = progress_of(run, graph, store, latest)
    unchanged = [node for node in graph if node.mapped and node.name not in changed]
    settled = _settled_maps(run, graph, unchanged, progress, runs, ended_otherwise)
    progress = replace(progress, settled=settled)
    lost = lost_work(graph, progress, store)
    if lost:
        listed = ", ".join(sorted(lost))
        log.warning(
            "done again, as it, or what it was made from, is lost, altered or tried again: %s",
            listed,
            extra={"action": "redone"},
        )
        latest, progress = latest.redoing(lost, number), progress.without(lost)
    done = frozenset(node.name for node in graph if progress.is_done(node))
    kept = frozenset(node.name for node in graph if node.name in ended_otherwise)
    kept |= frozenset(each for name in kept for each in graph.descendants(name) if each not in done)
    begun = Round(number, done | kept, latest.redone)
    remaining = Remaining.of(specification, begun)
    left, written_out = remaining.graph, dict(remaining.written_out)
    maps = {
        node.name: (node.known_length, node.known_length - progress.items_done(node))
        for node in graph
        if node.known_length is not None and (node.name in done or node.name in written_out)
    } | {name: (items, 0) for name, items in progress.settled.items()}
    ended = {*kept, *progress.settled}
    taken = RoundTaken(f"run '{run}' is carried on by somebody else", hint=FOLLOW.format(run=run))
    if not left and expected and expected.state == RunState.SUCCEEDED:
        raise taken  # by a resumption that has ended since
    if not begun.write(store, run):
        raise taken
    if is_pruned(store, run) or is_being_pruned(store, run):
        # Asked after the round is stored, because who prunes looks for rounds after storing the intent.
        begun.withdraw(store, run)
        check_not_pruned(store, run)
        raise RoundTaken(f"run '{run}' is just being pruned", hint="`orchestrator prune` ends what it began")
    for folder in progress.torn:
        put_torn_aside(store, run, folder)
    _take_over_items(run, number, progress, latest, store)
    if changed:
        as_it_is_now(specification).rewrite(store)
    ending = runs.reopen(
        run,
        Reopening(
            pipeline=graph.pipeline,
            parameters=mask_values(specification.parameters),  # for display only
            fail_fast=graph.fail_fast,
            handlers=[node.name for node in graph.handlers],
            submitted=specification.submitted.timestamp(),
            number=number,
            expected=expected,
            open=sum(maps[node.name][1] if node.name in maps else 1 for node in left),
            done={name: shown_value(output) for name, output in progress.outputs.items()},
            again=_reasons(left, changed, lost),
            needs=remaining.needs,
            kept=sorted(kept | {name for name in ended_otherwise if node_of(name) in ended}),
            maps=maps,
            item_followers=left.item_followers,
        ),
    )
    match ending:
        case None:
            begun.withdraw(store, run)
            raise taken
        case RunEnding.OVER:
            send_conclusion(run, runs.client, graph.queues)
        case RunEnding.HANDLERS:
            send_handlers(run, store=store, runs=runs)
        case RunEnding.NONE:
            remaining.canvas().start().apply_async()
    return number


def _settled_maps(
    run: RunId,
    graph: Graph,
    maps: Iterable[Node],
    progress: Progress,
    runs: RunStore,
    ended_otherwise: frozenset[NodeName],
) -> dict[NodeName, int]:
    """Return the maps that are done according to Redis and stay so, with their numbers of items.

    All their items have outputs, except those that were skipped, or whose failures were tolerated and are not
    retried.

    The store alone knows neither the length of a map determined at run time, nor which failures were
    tolerated.
    """
    found = {}
    states = RunReader(runs.client).raw_states(run)
    skipped = {NodeName(name) for name, state in states.items() if state is NodeState.SKIPPED}
    partial = {name for name, _ in graph.partial}
    for node in maps:
        told_by_store = node.known_length is not None and not node.nested and node.name not in partial
        if told_by_store or states.get(node.name) is not NodeState.SUCCEEDED:
            continue
        items = [
            name for name in states if node_of(name) == node.name and len(indexes_of(name)) == node.depth
        ]
        left_out = skipped | ended_otherwise
        if all(name in progress.outputs or name in left_out for name in map(NodeName, items)):
            found[node.name] = runs.items(run, node.name)
    return found


def _take_over_items(
    run: RunId, number: int, progress: Progress, latest: Round, store: ArtifactStore
) -> None:
    """Commit the finished items again under this round, so that earlier rounds cannot change them."""
    folders: dict[str, dict[int, Tree]] = {}
    for name, output in progress.outputs.items():
        _, index = group_and_index(name)
        if index is not None:
            folders.setdefault(latest.stored_as(name), {})[index] = output
    for folder, outputs in folders.items():
        write_items(store, run, folder, FencingNumber(number, 0), f"round-{number}", outputs, flush=True)


def _reasons(left: Graph, changed: Mapping[NodeName, str], lost: Collection[NodeName]) -> dict[NodeName, str]:
    """Return why each remaining node runs, or runs again."""
    told = {
        node_of(name): "what it gave, or was made from, was lost, altered or tried again" for name in lost
    }
    told |= changed
    return {node.name: f"run: {told.get(node.name, 'it had not succeeded')}" for node in left}


def send_handlers(run: RunId, *, store: ArtifactStore, runs: RunStore) -> None:
    """Send the failure handlers of a run's current round; idempotent."""
    reconcile(run, store=store, runs=runs).canvas().handlers().apply_async()


def resend_node(run: RunId, node: NodeName, *, store: ArtifactStore, runs: RunStore, due: float) -> bool:
    """Send a node again in the run's current round; False if it has not been due for `due` seconds."""
    remaining = reconcile(run, store=store, runs=runs)
    join = remaining.plan.chord_of(node)
    if not runs.resend(run, node, due=due):
        return False
    if join is not None:
        runs.detach(run, join)
    remaining.canvas(again=True).by_itself(node).apply_async()
    return True
