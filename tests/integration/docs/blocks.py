"""The code blocks of a page, and what the comment before each says is to be done with it.

A block is run, or read, by its language. A comment right before it says what differs:

    <!-- checked: REASON -->    it is not run, only checked (see `checks`)
    <!-- file: NAME -->         it is the content of a file
    <!-- printed -->            it is what the block before it prints; `…` stands for anything
    <!-- fails: STATUS -->      it is to end with that exit status
    <!-- background: TEXT -->   it goes on until the page ends; what follows waits until it prints TEXT

A comment that begins with `<!-- before, ` and a language, `file NAME` or `printed` has lines that readers do
not see: what the next block needs, or what has to hold after the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[3]

MARKERS = ("checked", "file", "printed", "fails", "background")

_MARKER = re.compile(r"<!-- (?P<name>[a-z]+)(: (?P<text>.+))? -->\s*")
_HIDDEN = re.compile(r"<!-- before, (?P<language>[a-z]+)( (?P<name>\S+))?\n(?P<text>.*)-->\s*", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Code of a page."""

    page: Path
    line: int  #: in which it begins
    language: str
    text: str
    marker: str = ""  #: one of MARKERS, if there is one
    words: str = ""  #: of the marker: the reason, or the name of the file

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """What is read by people who use this, from the first steps on."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The blocks in their order, hidden ones included; raises ValueError for a marker that there is not."""
    return list(_blocks(page, MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))))


def _blocks(page: Path, tokens: list[Token]) -> Iterator[Block]:
    before = None
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            hidden = _HIDDEN.fullmatch(token.content)
            if hidden is not None:
                marker = hidden["language"] if hidden["language"] in MARKERS else ""
                yield Block(page, line, hidden["language"], hidden["text"], marker, hidden["name"] or "")
        elif token.type in ("fence", "code_block"):
            name, words = _marker(page, before)
            yield Block(page, line, token.info.strip(), token.content, name, words)
        before = token


def _marker(page: Path, before: Token | None) -> tuple[str, str]:
    if before is None or before.type != "html_block":
        return "", ""
    found = _MARKER.fullmatch(before.content)
    if found is None:
        return "", ""
    if found["name"] not in MARKERS:
        raise ValueError(f"{page}: {before.content.strip()}: the words are {', '.join(MARKERS)}")
    return found["name"], found["text"] or ""
