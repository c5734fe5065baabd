"""Compares the code of stages with that of an earlier time or another machine."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.authoring.graph import Node, StageName
from orchestrator.authoring.stage import stages
from orchestrator.code.reach import HELD, Code, reached_by

#: How many names a message lists.
_LISTED = 4


def code_of(nodes: Iterable[Node]) -> dict[str, str]:
    """The code that the stages of some nodes reach, as far as this process knows the stages."""
    wanted: dict[StageName, bool] = {}
    for node in nodes:
        if node.stage in stages:
            wanted[node.stage] = wanted.get(node.stage, False) or node.policy.libraries
    found: dict[str, str] = {}
    for name, libraries in wanted.items():
        reached = reached_by(stages[name])
        found |= reached.with_versions() if libraries else reached.definitions
    return found


def differing(now: Code, then: Code) -> tuple[str, ...]:
    """The names of the definitions that differ. `then` may be the code of more stages.

    Ignores packages of which `then` has nothing, as they were a library there, and what is only held in
    memory, as another process may have loaded less.
    """
    known = {name.partition(".")[0] for name in then}
    return tuple(
        name
        for name, digest in now.items()
        if then.get(name) != digest
        and (name in then or (name.partition(".")[0] in known and not digest.endswith(HELD)))
    )


def in_words(names: Iterable[str], stage: str) -> str:
    """What has changed: `its code and helpers.factor have changed`."""
    told = ["its code" if name == stage else name for name in sorted(names, key=lambda name: name != stage)]
    more = [f"{len(told) - _LISTED} more"] if len(told) > _LISTED + 1 else []
    listed = told[:_LISTED] + more if more else told
    return f"{_joined(listed)} {'has' if len(told) == 1 else 'have'} changed"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
