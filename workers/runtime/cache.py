"""Takes the result of an earlier run where code, parameters and inputs are the same."""

from __future__ import annotations

import json
import logging
from hashlib import sha256

from orchestrator.artifacts import StoreError, digest_of, holds_all
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.graph import JSON, Constant, Gather, Input, Output
from orchestrator.authoring.registry import stages
from workers.runtime.attempt import ClaimedNode
from workers.runtime.inputs import input_trees

log = logging.getLogger("orchestrator.cache")


def find_earlier(claimed: ClaimedNode) -> Tree | None:
    """What an earlier run gave for the same node, if its policy and its run allow to take it."""
    if not _is_cached(claimed):
        return None
    key = _key(claimed)
    try:
        data = claimed.workshop.store.read(key)
    except StoreError as error:
        if error.transient:
            raise
        log.warning("results of earlier runs cannot be read: %s", error)
        return None
    if data is None:
        log.info("no earlier run has a result for this code, these parameters and these inputs")
        return None
    try:
        found = json.loads(data)
        tree: Tree = found["output"]
        sound = digest_of(tree) == found["digest"] and holds_all(tree, claimed.workshop.store)
    except (ValueError, LookupError, TypeError):
        sound = False
    if not sound:
        log.warning("an earlier run had the result, but it was lost or altered since")
        return None
    log.info("taken from %s of run %s: same code, parameters and inputs", found["node"], found["run"])
    return tree


def keep_for_later(claimed: ClaimedNode, output: Tree) -> None:
    """Let later runs find the result. If that is not possible, they compute it."""
    if not claimed.task.node.policy.cache:
        return
    text = {
        "run": claimed.job.run,
        "node": claimed.task.name,
        "digest": digest_of(output),
        "output": output,
    }
    try:
        claimed.workshop.store.write(_key(claimed), json.dumps(text, separators=(",", ":")).encode())
    except StoreError as error:
        log.warning("the result was not kept for later runs: %s", error)


def _is_cached(claimed: ClaimedNode) -> bool:
    return claimed.task.node.policy.cache and claimed.job.specification.cache


def _key(claimed: ClaimedNode) -> str:
    return f"cache/{_fingerprint(claimed)}.json"


def _fingerprint(claimed: ClaimedNode) -> str:
    """A digest of all that the result follows from: code or version, parameters, digests of the inputs."""
    node = claimed.task.node
    code = node.policy.version or stages[node.stage].code
    inputs = {name: _digest(value, claimed) for name, value in sorted(node.inputs.items())}
    varying = {name: _digest(value, claimed) for name, value in sorted(node.varying.items())}
    parts = [node.stage, code, inputs, varying, claimed.task.index]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(value: Input, claimed: ClaimedNode) -> JSON:
    match value:
        case Constant(constant):
            return constant
        case Gather(items):
            return [_digest(item, claimed) for item in items]
        case Output(_, path):
            trees = input_trees(value, claimed.job, claimed.workshop)
            return [*path, *(digest_of(tree) for tree in trees)]
