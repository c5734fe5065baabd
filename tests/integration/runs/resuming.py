"""What a resume asks of the run store, by what has a manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from orchestrator.authoring.graph import Node, NodeName
from orchestrator.runs.values import Reopening, RunStatus

from .shapes import Facts


def next_round(
    latest: Facts,
    expected: RunStatus | None,
    stored: set[NodeName],
    changed: Iterable[NodeName],
    ended_otherwise: Collection[NodeName] = (),
    succeeded: Collection[NodeName] = (),
) -> tuple[Reopening, Facts]:
    """The next round; changed nodes, and what needs them, lose what is stored.

    The nodes in `ended_otherwise` have ended without success, and stay so; those in `succeeded` are maps
    that Redis knows as done.
    """
    graph = latest.graph
    again = {name for each in changed for name in (each, *graph.descendants(each))}
    stored -= {name for name in stored if latest.node(name).name in again}
    known = {
        node.name
        for node in graph
        if node.name in {*succeeded} - again
        and (node.known_length is None or node.policy.tolerate)
        and all(item in stored or item in ended_otherwise for item in latest.items(node.name))
    }
    done = frozenset(node.name for node in graph if node.name in known or _is_done(node, latest, stored))
    kept = frozenset(node.name for node in graph if node.name in ended_otherwise)
    kept |= frozenset(each for name in kept for each in graph.descendants(name) if each not in done)
    facts = Facts(latest.shape, latest.number + 1, done | kept)
    maps = {
        node.name: (len(latest.items(node.name)), _left(node, latest, stored))
        for node in graph
        if node.known_length is not None and node.name in {*done, *facts.maps}
    } | {name: (len(latest.items(name)), 0) for name in known}
    reopening = Reopening(
        pipeline="some",
        parameters={},
        submitted=0.0,
        number=facts.number,
        expected=expected,
        fail_fast=graph.fail_fast,
        handlers=facts.handlers,
        open=sum(
            maps[node.name][1] if node.name in maps else 1 for node in graph if node.name not in facts.done
        ),
        done=dict.fromkeys(sorted(stored), ""),
        kept=sorted(kept | {name for name in ended_otherwise if latest.node(name).name in kept | known}),
        needs={name: len(needs) for name, needs in facts.left.items()},
        maps=maps,
        item_followers=facts.plan.graph.item_followers,
    )
    return reopening, facts


def _is_done(node: Node, facts: Facts, stored: set[NodeName]) -> bool:
    if not node.mapped:
        return node.name in stored
    return bool(node.known_length) and _left(node, facts, stored) == 0


def _left(node: Node, facts: Facts, stored: set[NodeName]) -> int:
    return sum(item not in stored for item in facts.items(node.name))
