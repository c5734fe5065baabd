"""Carries a run on: what is done stays done, the rest is sent as a new round of the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.artifacts.tree import shown_value
from orchestrator.authoring.graph import Graph, Node, NodeName
from orchestrator.compiler.arrange import arrange
from orchestrator.coordinator.submission import code_of
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import Reopening, RunStore

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree


@dataclass(frozen=True)
class Progress:
    """What the artifact store has of a run."""

    outputs: Mapping[NodeName, Tree]  #: of nodes and of items of maps
    lengths: Mapping[NodeName, int]  #: of maps, as far as they are known

    def is_done(self, node: Node) -> bool:
        """Whether nothing of a node is left to do."""
        if not node.mapped:
            return node.name in self.outputs
        length = self.lengths.get(node.name)
        return length is not None and self.items_done(node) == length

    def items_done(self, node: Node) -> int:
        """How many items of a map are done."""
        length = self.lengths.get(node.name) or 0
        return sum(f"{node.name}[{index}]" in self.outputs for index in range(length))


def progress_of(run: RunId, graph: Graph, store: ArtifactStore, latest: Round) -> Progress:
    """Look at what is done of a run, by what its latest round would read."""
    outputs: dict[NodeName, Tree] = {}
    lengths: dict[NodeName, int] = {}
    for node in graph:
        if not node.mapped:
            manifest = Manifest.read(store, run, latest.stored_as(node.name))
            if manifest is not None:
                outputs[node.name] = manifest.output
            continue
        stored = latest.stored_as(node.name)
        items = read_items(store, run, stored)
        if node.known_length is not None:
            lengths[node.name] = node.known_length
        for index in range(node.known_length or 0):
            manifest = None if index in items else Manifest.read(store, run, f"{stored}[{index}]")
            if manifest is not None:
                items[index] = manifest.output
        outputs |= {NodeName(f"{node.name}[{index}]"): output for index, output in items.items()}
    return Progress(outputs, lengths)


def changed_nodes(specification: Specification) -> Mapping[NodeName, str]:
    """The nodes whose stage's code is not what it was when the run was sent, and all that need them: why."""
    now = code_of(specification.graph)
    changed = {
        node.name: "its code has changed since the run was sent"
        for node in specification.graph
        if node.stage in now and now[node.stage] != specification.code.get(node.stage, now[node.stage])
    }
    after = {
        name: f"it needs {each}, whose code has changed"
        for each in changed
        for name in specification.graph.descendants(each)
    }
    return {**after, **changed}


def send_round(
    run: RunId, *, store: ArtifactStore, runs: RunStore, ended_otherwise: frozenset[NodeName] = frozenset()
) -> int:
    """Send what is left of a run, whatever Redis knows of it; raises UnknownRun.

    The nodes in `ended_otherwise` have ended without success, and stay so. Returns the round's number, or 0
    if nothing is left to do.
    """
    from orchestrator.app import app
    from orchestrator.compiler.canvas import Canvas

    specification = Specification.read(store, run)
    graph = specification.graph
    latest = Round.latest(store, run)
    number = latest.number + 1
    changed = changed_nodes(specification)
    latest = replace(latest, redone={**latest.redone, **dict.fromkeys(changed, number)})
    progress = progress_of(run, graph, store, latest)
    done = frozenset(node.name for node in graph if progress.is_done(node))
    kept = frozenset(node.name for node in graph if node.name in ended_otherwise)
    left = graph.without(done | kept)
    if not len(left):
        return 0
    plan = arrange(left)
    maps = {
        node.name: (node.known_length, node.known_length - progress.items_done(node))
        for node in graph
        if node.known_length is not None and (node.name in done or plan.written_out(left[node.name]))
    }
    Round(number, done | kept, latest.redone).write(store, run)
    if changed:
        replace(specification, code=code_of(graph)).rewrite(store)
    runs.reopen(
        run,
        Reopening(
            pipeline=graph.pipeline,
            parameters=specification.parameters,
            fail_fast=graph.fail_fast,
            handlers=[node.name for node in graph.handlers],
            submitted=specification.submitted.timestamp(),
            open=sum(maps[node.name][1] if node.name in maps else 1 for node in left),
            done={name: shown_value(output) for name, output in progress.outputs.items()},
            again={node.name: f"run: {changed.get(node.name, 'it had not succeeded')}" for node in left},
            kept=[name for name in ended_otherwise if _node_of(name) in kept],
            maps=maps,
        ),
    )
    Canvas(app, plan, run, number).start().apply_async()
    return number


def _node_of(name: NodeName) -> NodeName:
    """The node that an item belongs to; other names stand for themselves."""
    return NodeName(name.partition("[")[0])


def send_handlers(run: RunId, *, store: ArtifactStore) -> None:
    """Send what is to run when a run has failed, in its latest round; as often as you like."""
    from orchestrator.app import app
    from orchestrator.compiler.canvas import Canvas

    graph = Specification.read(store, run).graph
    latest = Round.latest(store, run)
    Canvas(app, arrange(graph.without(latest.done)), run, latest.number).handlers().apply_async()
