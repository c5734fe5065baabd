"""Makes text of any origin safe to write and to show in a terminal."""

from __future__ import annotations

import re

#: Control characters of terminals, and those that change the direction of the text that follows. Tab and
#: newline are not among them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with what UTF-8 cannot encode escaped: `\\udce9` for a byte of a file name that is no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    """The text with control characters escaped, too: `\\x1b[31m` instead of red letters."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], printable(text))
