"""Text as it can be written and shown anywhere, wherever it came from."""

from __future__ import annotations

import re

#: What a terminal obeys instead of showing it, and what turns the order of the letters that follow. A tab is
#: neither, nor is the end of a line.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with what UTF-8 cannot say written out: `\\udce9` for a byte of a name that is no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    """The text with what a terminal would obey written out, too: `\\x1b[31m` instead of red letters."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], printable(text))
