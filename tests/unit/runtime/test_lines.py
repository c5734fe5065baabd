"""How what a process writes becomes lines."""

from __future__ import annotations

import pytest

from workers.runtime.error_text import LINE, in_one_line, message_of
from workers.runtime.lines import LONGEST, Lines


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


def test_an_error_is_told_in_bounded_words() -> None:
    assert len(message_of(ValueError("x" * 10_000_000))) < LINE + 100
    assert in_one_line(ValueError("caf\udce9")) == r"ValueError: caf\udce9"
    assert in_one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
