"""Compute a node's fingerprint: the digest of its code, parameters and inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256

from orchestrator.artifacts import digest_of
from orchestrator.artifacts.named_files import MEMORY, content_digest, paths_of
from orchestrator.authoring.graph import (
    JSON,
    Constant,
    Element,
    FailureOfRun,
    Gather,
    Input,
    Not,
    Output,
    item_of,
)
from orchestrator.authoring.stage import stages
from orchestrator.code import Code, in_words
from workers.runtime.claimed_node import ClaimedNode
from workers.runtime.inputs import element_trees, input_trees
from workers.runtime.loaded_code import loaded_code


@dataclass(frozen=True)
class Fingerprint:
    """Everything that determines a node's result."""

    stage: str
    code: Code  #: digests of all definitions the function reaches, or its policy's version
    inputs: Mapping[str, str]  #: a digest of each argument, by parameter
    files: Mapping[str, str] = field(default_factory=dict)  #: digests of the files and folders they name

    @cached_property
    def digest(self) -> str:
        """The key of the result cache: equal for equal stage, code, inputs and files."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def difference(self, other: Fingerprint) -> str:
        """Describe what differs from `other`."""
        files = [name for name in self.files if self.files[name] != other.files.get(name, self.files[name])]
        names = [name for name in self.inputs if self.inputs[name] != other.inputs.get(name)]
        ours, theirs = dict(self.code), dict(other.code)
        changed = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        reasons = [in_words(each, self.stage) for each in (changed, files) if each]
        if names:
            reasons.append(f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'}")
        return " and ".join(reasons) or "its parameters are others"


def fingerprint_of(claimed: ClaimedNode) -> Fingerprint:
    """Compute the fingerprint of a claimed node."""
    node = claimed.ref.node
    arguments = {name: _digest(value, claimed) for name, value in node.inputs.items()}
    arguments |= {
        name: _digest_of_element(value, node.depth, claimed) for name, value in node.varying.items()
    }
    code: Code = {str(node.stage): node.policy.version} if node.policy.version else loaded_code(node)
    inputs = {name: _short(plain) for name, plain in arguments.items()}
    return Fingerprint(node.stage, code, inputs, files_of(claimed))


def files_of(claimed: ClaimedNode) -> Mapping[str, str]:
    """Return content digests of the files and folders that the node's parameters name; raises OSError."""
    memory = claimed.resources.settings.home / MEMORY
    paths = paths_of(claimed.ref.node, stages[claimed.ref.node.stage].function, claimed.ref.indexes)
    return {str(path): content_digest(path, memory) for path in paths}


def _short(plain: JSON) -> str:
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def _digest_of_element(value: Input, depth: int, claimed: ClaimedNode) -> JSON:
    """Digest the element that an item takes of a list, so that changes of other elements do not affect it."""
    ref, index = claimed.ref, claimed.ref.indexes[depth - 1]
    item = item_of(value, index)
    if item is not None:
        return _digest(item, claimed)
    if isinstance(value, Output):
        as_of = claimed.counts.claimed
        trees = element_trees(value, depth, ref, claimed.context, claimed.resources, as_of=as_of)
        if trees is not None:
            digests: list[JSON] = [digest_of(tree) for tree in trees]
            return digests[0] if len(digests) == 1 and not value.path else [*value.path, *digests]
    return [_digest(value, claimed), index]


def _digest(value: Input, claimed: ClaimedNode) -> JSON:
    match value:
        case Constant(constant):
            return constant
        case Gather(items):
            return [_digest(item, claimed) for item in items]
        case Output(_, path):
            as_of = claimed.counts.claimed
            trees = input_trees(value, claimed.ref, claimed.context, claimed.resources, as_of=as_of)
            return [*path, *(digest_of(tree) for tree in trees)]
        case Element(taken_from, path):
            digest = _digest_of_element(claimed.ref.node.each[taken_from], value.depth, claimed)
            return [digest, *path] if path else digest
        case Not(of):
            return {"not": _digest(of, claimed)}
        case FailureOfRun():
            return claimed.context.run
