"""Takes an earlier run's result where code, parameters and inputs are the same, and says why or why not."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256

from orchestrator.artifacts import digest_of
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.graph import JSON, Constant, FailureOfRun, Gather, Input, Output
from orchestrator.authoring.registry import stages
from workers.runtime.attempt import ClaimedNode
from workers.runtime.inputs import input_trees, item_of

log = logging.getLogger("orchestrator.cache")


@dataclass(frozen=True)
class Earlier:
    """What earlier runs have for a node."""

    output: Tree | None = None  #: the result to be taken; None: there is none
    why: str = ""  #: it was taken or not, for people; empty where the stage is not cached


@dataclass(frozen=True)
class Fingerprint:
    """All that a node's result follows from."""

    stage: str
    code: str  #: a digest of the function, or the version that stands for it
    inputs: Mapping[str, str]  #: a digest of each argument, by parameter

    @cached_property
    def digest(self) -> str:
        """The same for the same stage, code and inputs."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def difference(self, other: Fingerprint) -> str:
        """What is not as it was in `other`, in words."""
        names = [name for name in self.inputs if self.inputs[name] != other.inputs.get(name)]
        reasons = ["its code has changed"] * (self.code != other.code)
        if names:
            reasons.append(f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'}")
        return " and ".join(reasons) or "its parameters are others"


def find_earlier(claimed: ClaimedNode) -> Earlier:
    """What an earlier run gave for the same node, if its policy and its run allow to take it."""
    if not claimed.task.node.policy.cache:
        return Earlier()
    if not claimed.job.specification.cache:
        return Earlier(why="computed: the run was sent with --no-cache")
    fingerprint = _fingerprint(claimed)
    data = claimed.workshop.store.read(_result_key(fingerprint))
    if data is None:
        earlier = Earlier(why=f"computed: {_why_not(claimed, fingerprint)}")
    else:
        found = json.loads(data)
        why = f"taken from {found['node']} of run {found['run']}: same code, parameters and inputs"
        earlier = Earlier(found["output"], why)
    log.info(earlier.why)
    return earlier


def keep_for_later(claimed: ClaimedNode, output: Tree) -> None:
    """Let later runs find the result, and see how theirs differ."""
    if not claimed.task.node.policy.cache:
        return
    fingerprint, store = _fingerprint(claimed), claimed.workshop.store
    result: dict[str, JSON] = {"run": claimed.job.run, "node": claimed.task.name, "output": output}
    store.write(_result_key(fingerprint), _as_text(result))
    store.write(_latest_key(claimed), _as_text({"run": claimed.job.run, "of": asdict(fingerprint)}))


def _why_not(claimed: ClaimedNode, fingerprint: Fingerprint) -> str:
    """How a node differs from the last time that its result was kept."""
    data = claimed.workshop.store.read(_latest_key(claimed))
    if data is None:
        return "no earlier run has a result of this node"
    latest = json.loads(data)
    return f"since run {latest['run']}, {fingerprint.difference(Fingerprint(**latest['of']))}"


def _result_key(fingerprint: Fingerprint) -> str:
    return f"cache/{fingerprint.digest}.json"


def _latest_key(claimed: ClaimedNode) -> str:
    return f"cache/latest/{claimed.job.graph.pipeline}/{claimed.task.name}.json"


def _as_text(plain: Mapping[str, JSON]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _fingerprint(claimed: ClaimedNode) -> Fingerprint:
    node, index = claimed.task.node, claimed.task.index
    arguments = {name: _digest(value, claimed) for name, value in node.inputs.items()}
    if index is not None:
        arguments |= {name: _digest_of_item(value, index, claimed) for name, value in node.varying.items()}
    code = node.policy.version or stages[node.stage].code
    return Fingerprint(node.stage, code, {name: _short(plain) for name, plain in arguments.items()})


def _short(plain: JSON) -> str:
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def _digest_of_item(value: Input, index: int, claimed: ClaimedNode) -> JSON:
    """Of what one item of a map takes: the others may change without it."""
    item = item_of(value, index)
    if item is not None:
        return _digest(item, claimed)
    whole = _digest(value, claimed)
    mapped = isinstance(value, Output) and claimed.job.graph[value.node].mapped
    return whole[index] if mapped and isinstance(whole, list) else [whole, index]


def _digest(value: Input, claimed: ClaimedNode) -> JSON:
    match value:
        case Constant(constant):
            return constant
        case Gather(items):
            return [_digest(item, claimed) for item in items]
        case Output(_, path):
            trees = input_trees(value, claimed.job, claimed.workshop)
            return [*path, *(digest_of(tree) for tree in trees)]
        case FailureOfRun():
            return claimed.job.run
