"""The code that this worker has loaded, by stage."""

from __future__ import annotations

from functools import cache

from orchestrator.authoring.graph import Node, StageName
from orchestrator.authoring.stage import stages
from orchestrator.code import Code, Reached, reached_by


def know_code(**_: object) -> None:
    """Compute the reached code of all stages before the pool forks, so that its processes inherit it."""
    for stage in stages:
        reached(stage)


def loaded_code(node: Node) -> Code:
    """Return digests of the code that a node's stage reaches in this process."""
    return _with_versions(node.stage) if node.policy.libraries else reached(node.stage).definitions


@cache
def reached(stage: StageName) -> Reached:
    """Return what a stage reaches; cached, since a worker never reloads a module."""
    return reached_by(stages[stage])


@cache
def _with_versions(stage: StageName) -> Code:
    return reached(stage).with_versions()
