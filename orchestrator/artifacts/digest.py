"""Digests: the names of blobs, made from their bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import IO, NewType

from orchestrator.artifacts.errors import WrongKey

#: `sha256:` and 64 hexadecimal digits.
Digest = NewType("Digest", str)

_FORM = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of_bytes(data: bytes | memoryview) -> Digest:
    """The digest of these bytes."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def digest_of_pieces(pieces: Iterable[memoryview]) -> Digest:
    """The digest of what these pieces are one after the other."""
    checksum = hashlib.sha256()
    for piece in pieces:
        checksum.update(piece)
    return Digest(f"sha256:{checksum.hexdigest()}")


def digest_of_file(file: IO[bytes]) -> Digest:
    """The digest of an open file, from its start to its end."""
    file.seek(0)
    checksum = hashlib.sha256()
    while block := file.read(1 << 20):
        checksum.update(block)
    return Digest(f"sha256:{checksum.hexdigest()}")


def hex_of(digest: Digest) -> str:
    """The hexadecimal part of a digest; anything that is not a digest is refused."""
    if not _FORM.fullmatch(digest):
        raise WrongKey(f"{digest!r} is not a digest", hint="A digest is 'sha256:' and 64 hexadecimal digits.")
    return digest[7:]


def blob_key(digest: Digest) -> str:
    """Where the blob of this digest lies in a store."""
    name = hex_of(digest)
    return f"blobs/sha256/{name[:2]}/{name}"


def digest_at(key: str) -> Digest | None:
    """The digest of the blob that lies at a key; None if no blob does."""
    digest = Digest(f"sha256:{key.rpartition('/')[2]}")
    return digest if _FORM.fullmatch(digest) and blob_key(digest) == key else None
