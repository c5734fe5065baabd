"""Checks keys and file names: none leads out of the store or its folder."""

from __future__ import annotations

import re

from orchestrator.artifacts.errors import WrongKey
from orchestrator.artifacts.local_files import CONDEMNED, DRAFTS

#: Letters, digits and signs that every object store and file system keeps as they are.
_SEGMENT = re.compile(r"[\w\-.=+@,:~()\[\] ]{1,200}")

#: Where it is noted that a table's column is kept compressed; a note keeps no blob from being removed.
COLUMN_NOTES = "columns"

#: Blobs are written by their digest only; drafts, and what is being removed, are no objects of the store.
RESERVED = ("blobs", DRAFTS, CONDEMNED)


def checked_key(key: str) -> str:
    """The key itself, if it cannot lead out of the store or to its blobs.

    A key is words joined by `/`, such as `runs/20250101-ab12/manifests/fit[3].json`.
    """
    if not is_key(key):
        raise WrongKey(
            f"{key!r} cannot be a key of the artifact store",
            hint="A key is words of letters, digits and -_.=+@,:~()[] joined by '/', without '..', "
            f"not starting with '/' or {' or '.join(f'{name}/' for name in RESERVED)}.",
        )
    return key


def is_key(text: str) -> bool:
    """Whether this can be a key; there may be files of other programs in a store's folder."""
    segments = text.split("/")
    return all(map(_is_safe_segment, segments)) and segments[0] not in RESERVED


def checked_file_name(name: object) -> str:
    """The name itself, if it is one file's name and not a way to another place."""
    if not isinstance(name, str) or "/" in name or "\0" in name or name in ("", ".", ".."):
        raise WrongKey(f"{name!r} cannot be the name of a stored file")
    return name


def _is_safe_segment(segment: str) -> bool:
    return segment not in (".", "..") and _SEGMENT.fullmatch(segment) is not None
