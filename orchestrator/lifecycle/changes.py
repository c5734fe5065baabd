"""Detect changes since a run was submitted: of its stages' code, and of the files its parameters name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from socket import gethostname

from orchestrator.archive.specification import Specification
from orchestrator.artifacts.named_files import MEMORY, QUICK_BYTES, differs, paths_of, quick_digest
from orchestrator.authoring.graph import Graph, Node, NodeName
from orchestrator.authoring.pipeline import pipelines
from orchestrator.authoring.stage import stages
from orchestrator.code import Commit, ask_commit, code_of, differing, in_words
from orchestrator.settings import settings


def changed_nodes(specification: Specification) -> Mapping[NodeName, str]:
    """Return the nodes whose code or files have changed, and all nodes downstream, each with the reason."""
    changed: dict[NodeName, str] = {}
    after: dict[NodeName, str] = {}
    for node in specification.graph:
        code, files = differing(code_of([node]), specification.code), _changed_files(node, specification)
        if not code and not files:
            continue
        told = " and ".join(in_words(each, node.stage) for each in (code, files) if each)
        changed[node.name] = f"{told} since the run was sent"
        why = f"it needs {node.name}, whose {'code has' if code else 'files have'} changed"
        after |= dict.fromkeys(specification.graph.descendants(node.name), why)
    return {**after, **changed}


def as_it_is_now(specification: Specification) -> Specification:
    """Return the specification of a run that is resumed with the current code and files."""
    graph = specification.graph
    commit = ask_commit_of(graph)()
    return replace(
        specification,
        code={**specification.code, **code_of(graph.everything)},
        files={**specification.files, **files_of(graph)},
        sent_from=gethostname(),
        commit=commit.id if commit else "",
        dirty=commit is not None and commit.dirty,
    )


def ask_commit_of(graph: Graph) -> Callable[[], Commit | None]:
    """Ask git for the commit of the pipeline's file; the call that is returned waits for it.

    It returns None if the file is not in a git repository.
    """
    found = next((each for each in pipelines.values() if each.name == graph.pipeline), None)
    return ask_commit(found.function) if found else lambda: None


def files_of(graph: Graph) -> dict[str, str]:
    """Return digests of the files and folders that parameters name, if they exist on this machine."""
    found: dict[str, str] = {}
    paths = dict.fromkeys(path for node in graph.everything for path in _paths(node))
    for path in paths:
        with contextlib.suppress(OSError):  # an unreadable file is the stage's error
            found[str(path)] = quick_digest(path, _memory(), QUICK_BYTES // len(paths))
    return found


def _changed_files(node: Node, specification: Specification) -> list[str]:
    """Return a node's changed files and folders; none if the run was sent from another machine."""
    if not specification.files or specification.sent_from != gethostname():
        return []
    known = [(path, specification.files.get(str(path))) for path in _paths(node)]
    return [str(path) for path, before in known if before and differs(path, before, _memory())]


def _paths(node: Node) -> list[Path]:
    return paths_of(node, stages[node.stage].function) if node.stage in stages else []


def _memory() -> Path:
    return settings().home / MEMORY
