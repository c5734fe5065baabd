"""Encodes values into a store and decodes them, by annotation."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.artifacts.codec_lookup import codec_for
from orchestrator.artifacts.errors import StoreError, UnsupportedType, WrongValue
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digests_in
from orchestrator.authoring.table import names_columns


def encode(value: object, hint: object, store: ArtifactStore) -> Tree:
    """Store `value` as what its annotation `hint` says, and return the JSON tree that stands for it.

    Small values are in the tree itself, large ones are blobs that it names. Raises `WrongValue` where the
    value is not what the annotation says, `UnsupportedType` for an annotation that cannot be stored,
    `UntrustedTypes` for an estimator that could not be loaded again, `StoreError` for the rest.
    """
    try:
        return codec_for(hint).encode(value, store)
    except RecursionError as error:
        raise WrongValue("is nested too deeply to be stored, or holds itself") from error


def decode(
    tree: Tree,
    hint: object,
    store: ArtifactStore,
    path: Sequence[str | int] = (),
    *,
    wanted: object = None,
) -> object:
    """The value that `encode` stored, as what the annotation `hint` says.

    `path` (names of fields, keys, indexes of items) picks a part of it; the rest is not loaded. The types
    come from the annotation alone: no name in the tree is ever imported. `wanted` is the annotation of who
    takes the value, or the part: of tables only the columns that it names are loaded.
    """
    codec = codec_for(hint)
    try:
        for key in path:
            codec, tree = codec.part(tree, key, store)
        if names_columns(wanted):
            codec = codec_for(wanted)
        return codec.decode(tree, store)
    except RecursionError as error:
        raise StoreError("a stored value is nested too deeply to be read") from error


def holds_all(tree: Tree, store: ArtifactStore) -> bool:
    """Whether all blobs of a stored value are in the store, unaltered; see `ArtifactStore.holds`."""
    held = [store.holds(digest) for digest in digests_in(tree)]  # each one is asked: what is altered goes
    return all(held)


def reuse_all(tree: Tree, store: ArtifactStore) -> bool:
    """Like `holds_all`, of a value that a new manifest will name; see `ArtifactStore.reuse`."""
    return holds_all(tree, store) and all(store.reuse(digest) for digest in digests_in(tree))


def unsupported(hint: object) -> str | None:
    """Why values of this annotation cannot be stored, in one line with what to do; None if they can."""
    try:
        codec_for(hint)
    except UnsupportedType as error:
        return f"{error}. {error.hint}" if error.hint else str(error)
    return None
