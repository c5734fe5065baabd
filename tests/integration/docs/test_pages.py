"""Each code block of README.md and of docs/ holds: it is run, or checked where the page says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from .blocks import ROOT, Block, blocks_of, pages
from .checks import mistakes
from .session import Session

#: Pages that start several stacks, or train: they are run with the slow tests, and always checked.
SLOW = frozenset(
    {
        "README.md",
        "docs/how-to/own-project.md",
        "docs/how-to/parameters.md",
        "docs/how-to/python-client.md",
        "docs/tutorial/many-machines.md",
        "docs/tutorial/own-data.md",
        "docs/tutorial/resuming.md",
    }
)

BLOCKS = [block for page in pages() for block in blocks_of(page)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_run(block: Block) -> bool:
    return block.language in ("python", "shell") and block.marker not in ("checked", "file", "printed")


RUN = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if name_of(page) in SLOW else [])
    for page in pages()
    if any(is_run(block) for block in blocks_of(page))
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_can_be_parsed_and_names_what_there_is(block):
    assert not mistakes(block), block.text


@pytest.mark.stack
@pytest.mark.parametrize("page", RUN)
def test_a_page_can_be_followed(page, tmp_path):
    with Session.opened(tmp_path) as session:
        for block in blocks_of(page):
            session.follow(block)


def test_slow_pages_are_pages():
    assert {name_of(page) for page in pages()} >= SLOW
