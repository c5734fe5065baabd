"""Artifacts: the values of runs, stored by their annotation as blobs in any object store."""

from __future__ import annotations

from orchestrator.artifacts.as_stored import decode_as_stored
from orchestrator.artifacts.digest import Digest
from orchestrator.artifacts.encoding import decode, encode, holds_all, reuse_all, unsupported
from orchestrator.artifacts.errors import (
    AlteredArtifact,
    ArtifactError,
    MissingArtifact,
    NoSuchPart,
    StoreError,
    StoreUnavailable,
    UnsupportedType,
    UntrustedTypes,
    WrongKey,
    WrongValue,
)
from orchestrator.artifacts.store import ArtifactStore, StoredBlob, StoredObject
from orchestrator.artifacts.tree import MISSING, Json, Missing, Tree, digest_of, gather, inline
from orchestrator.artifacts.user_codecs import UserCodec, register_codec

__all__ = [
    "MISSING",
    "AlteredArtifact",
    "ArtifactError",
    "ArtifactStore",
    "Digest",
    "Json",
    "Missing",
    "MissingArtifact",
    "NoSuchPart",
    "StoreError",
    "StoreUnavailable",
    "StoredBlob",
    "StoredObject",
    "Tree",
    "UnsupportedType",
    "UntrustedTypes",
    "UserCodec",
    "WrongKey",
    "WrongValue",
    "decode",
    "decode_as_stored",
    "digest_of",
    "encode",
    "gather",
    "holds_all",
    "inline",
    "register_codec",
    "reuse_all",
    "unsupported",
]
