"""How what a process writes becomes lines."""

from __future__ import annotations

import pytest

from orchestrator.authoring import masking
from workers.runtime.error_text import LINE, in_one_line, message_of
from workers.runtime.lines import BEHIND, LONGEST, Lines


def lines_of(*writes: bytes) -> list[str]:
    lines = Lines()
    found = [line for data in writes for line in lines.feed(data)]
    rest = lines.rest()
    return [*found, rest] if rest else found


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ((b"a\nb\n\nc",), ["a", "b", "", "c"]),
        ((b"a", b"b\n", b"c"), ["ab", "c"]),
        ((b"one\r\ntwo\r", b"\n"), ["one", "two"]),
        ((b"1 of 3\r2 of 3\r", b"3 of 3\r"), ["3 of 3"]),
        ((b"\r1%", b"\r2%", b"\r100%\n", b"next\n"), ["100%", "next"]),
        (("é".encode()[:1], "é".encode()[1:] + b"\n"), ["é"]),
        ((b"caf\xe9\n",), ["caf\\xe9"]),
        ((b"x" * LONGEST + b"yy\nz",), ["x" * LONGEST + " … 2 more bytes of this line are not kept", "z"]),
        ((b"x" * (LONGEST + 5) + b"\rshort\n",), ["short"]),
    ],
)
def test_lines(writes: tuple[bytes, ...], expected: list[str]) -> None:
    assert lines_of(*writes) == expected


@pytest.mark.parametrize("before", [LONGEST - 12, LONGEST - 1, LONGEST + BEHIND - 12])
@pytest.mark.parametrize("behind", [0, 3 * BEHIND])
def test_a_secret_is_masked_wherever_a_line_is_cut(
    before: int, behind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "_known", set())
    masking.keep_secret("S3cretTokenValue0123456789")
    masking.keep_secret("plenty" * 20)
    text = "plenty" * 20 * 20 + "S3cretTokenValue0123456789" + "y" * behind
    (line,) = lines_of(b"x" * (before - 2400) + text.encode() + b"\n")
    assert "S3cret" not in line
    assert "plenty" not in line
    assert len(line) < LONGEST + 100


def test_what_an_error_is_called_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())
    masking.keep_secret("S3cretTokenValue")
    assert in_one_line(type("Bad_S3cretTokenValue", (Exception,), {})("so")) == "Bad_***: so"


def test_an_error_is_told_in_bounded_words() -> None:
    assert len(message_of(ValueError("x" * 10_000_000))) < LINE + 100
    assert in_one_line(ValueError("caf\udce9")) == r"ValueError: caf\udce9"
    assert in_one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
