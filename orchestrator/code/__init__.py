"""Digests of the user's code that stages depend on, compared over time and between machines."""

from orchestrator.code.commits import Commit, ask_commit, commit_of
from orchestrator.code.comparison import code_of, differing, in_words
from orchestrator.code.modules import differs_on_disk, keep_source, keep_sources
from orchestrator.code.reach import Code, Reached, reached_by

__all__ = [
    "Code",
    "Commit",
    "Reached",
    "ask_commit",
    "code_of",
    "commit_of",
    "differing",
    "differs_on_disk",
    "in_words",
    "keep_source",
    "keep_sources",
    "reached_by",
]
