"""What a worker's own log shows of passwords: nothing."""

from __future__ import annotations

import logging

import pytest

from orchestrator.authoring import masking
from workers.runtime.masked_log import MaskedBytes, MaskedFormatter


def passed_on(*writes: bytes) -> bytes:
    masked = MaskedBytes()
    return b"".join([*map(masked.feed, writes), masked.rest()])


def test_a_password_that_is_written_in_pieces_is_masked() -> None:
    assert passed_on(b"asks http://me:p", b"w-1@ho", b"st\nnext") == b"asks http://me:***@host\nnext"


def test_a_known_secret_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", {"hush-hush"})
    assert passed_on(b"it is hush", b"-hush\r", b"50%\r") == b"it is ***\r50%\r"


def test_all_else_stays_as_it_is() -> None:
    odd = b"\xff\xfe http://host:80 \xe2\x98\x83\n" * 3
    assert passed_on(odd[:20], odd[20:]) == odd
    assert passed_on(*[b"." * 1000] * 200) == b"." * 200_000


def test_a_traceback_is_masked() -> None:
    error = OSError("cannot reach redis://:pw-1@host:6379")
    how = (OSError, error, None)
    record = logging.LogRecord("celery", logging.ERROR, "", 0, "redis://:pw-1@host failed", None, how)
    told = MaskedFormatter(None).format(record)
    assert "pw-1" not in told
    assert told.count(":***@host") == 2
