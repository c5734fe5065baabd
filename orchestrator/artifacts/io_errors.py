"""Translates errors of disks, object stores and parsers into StoreError, with a hint, transient or not."""

from __future__ import annotations

import errno
import lzma
import re
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.artifacts.errors import StoreError, StoreUnavailable

#: Transient: over once somebody has freed some space.
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: Transient: over once a network file system, an overloaded machine or a device answers again.
_AWAY = (
    errno.EAGAIN,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EIO,
    errno.EMFILE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENFILE,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)

#: obstore's errors have their details in the text only: the errno, or the HTTP status.
_NUMBER = re.compile(r"\(os error (\d+)\)")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_ANSWER = re.compile(
    r"HTTP error:|timed? ?out|error sending request|connection (closed|refused|reset)", re.I
)

#: What parsers raise for bytes of another format. Not `Exception`: a stage's time limit is one, too.
_DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

_PATIENT = "Stages are tried again for some minutes; after that, resume the run."


def store_error(doing: str, url: str, error: BaseException) -> StoreError:
    """The error to raise instead of a library's: `StoreUnavailable` where it is transient."""
    kind, hint = _classified(error)
    return kind(f"cannot {doing} in the artifact store {url}: {_reason(error)}", hint=hint)


@contextmanager
def translated_parse_errors(source: str, what: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn the errors of a parser in the block into one StoreError."""
    try:
        yield
    except _DAMAGE as error:
        raise StoreError(f"{source} is no {what} that can be read: {_reason(error)}", hint=hint) from error


def _classified(error: BaseException) -> tuple[type[StoreError], str]:
    text = str(error)
    number, status = _number(error, text), _STATUS.search(text)
    if number in _FULL:
        return (
            StoreUnavailable,
            f"The disk is full: free some space. {_PATIENT}",
        )
    if number == errno.EFBIG:
        return StoreError, "No file may be so large there: see `ulimit -f` and the file system's own limit."
    if number in _FORBIDDEN or (status and status[1] in ("401", "403")):
        return StoreError, "This user may not write or read there: check the permissions or the credentials."
    if number in _AWAY or (status and status[1] >= "500") or (status and status[1] in ("408", "429")):
        return (
            StoreUnavailable,
            f"The store is away or overloaded. {_PATIENT}",
        )
    if number is None and status is None and _NO_ANSWER.search(text):
        return StoreUnavailable, "The store does not answer: is it up, and is ORCHESTRATOR_STORE right?"
    return StoreError, "Check ORCHESTRATOR_STORE."


def _number(error: BaseException, text: str) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _NUMBER.search(text)
    return int(found[1]) if found else None


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(" .") or type(error).__name__
