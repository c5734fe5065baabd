"""The code that this worker has loaded, by stage."""

from __future__ import annotations

from functools import cache

from orchestrator.authoring.graph import Node, StageName
from orchestrator.authoring.stage import stages
from orchestrator.code import Code, Reached, reached_by


def know_code(**_: object) -> None:
    """Work out what all stages reach, before the pool is forked: its processes need not do it each."""
    for stage in stages:
        reached(stage)


def loaded_code(node: Node) -> Code:
    """The code that a node's stage reaches in this process."""
    return _with_versions(node.stage) if node.policy.libraries else reached(node.stage).definitions


@cache
def reached(stage: StageName) -> Reached:
    """What a stage reaches: worked out once, since a worker never loads a module again."""
    return reached_by(stages[stage])


@cache
def _with_versions(stage: StageName) -> Code:
    return reached(stage).with_versions()
