"""The checks find what they are for: wrong blocks are planted."""

from __future__ import annotations

import pytest

from .blocks import ROOT, Block, blocks_of
from .checks import mistakes
from .session import Session

PAGE = ROOT / "README.md"

WRONG = [
    ("shell", "checked", "orchestrator run churn --detached", "--detached"),
    ("shell", "checked", "orchestrator rnu churn", "rnu"),
    ("shell", "checked", "orchestrator show", "RUN"),
    ("shell", "checked", 'eval "$(orchestrator completion fsh)"', "fsh"),
    ("shell", "checked", "cd churn && A=1 orchestrator runs --states failed >out", "--states"),
    ("shell", "checked", "docker compose exec -T coordinator orchestrator lgos RUN", "lgos"),
    ("shell", "checked", "docker compose exec coordinater orchestrator runs", "coordinater"),
    ("shell", "checked", "docker compose up --detatch", "--detatch"),
    ("shell", "checked", "docker compose up --scale trainer=4", "trainer"),
    ("shell", "checked", "docker run --init IMAGE \\\n  orchestrator worker training --slot 4", "--slot"),
    ("shell", "checked", "sh docker/write-envs", "docker/write-envs"),
    ("shell", "checked", "make demos", "demos"),
    ("shell", "checked", "echo 'open", "unexpected EOF"),
    ("shell", "", "rm -rf build", "rm"),
    ("ini", "", "TRAINING_WORKER=4", "TRAINING_WORKER"),
    ("ini", "", "ORCHESTRATOR_STORE", "no value"),
    ("python", "checked", "def f(:", "parsed"),
    ("yaml", "", "a: [1", "parsed"),
    ("toml", "", "a = ", "parsed"),
    ("json", "", "{", "parsed"),
    ("text", "", "a drawing", "say what it is"),
    ("", "", "indented", "no language"),
]


@pytest.mark.parametrize(("language", "marker", "text", "told"), WRONG)
def test_a_wrong_block_is_told(language, marker, text, told):
    (mistake,) = mistakes(Block(PAGE, 1, language, text, marker, "a reason"))
    assert told in mistake


def test_a_block_is_not_left_out_without_a_reason():
    assert mistakes(Block(PAGE, 1, "python", "1 / 0", "checked"))


def test_comments_before_a_block_belong_to_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- checked: no Docker -->\n\n```shell\na\n```\n\n<!-- before, file b.py\nc\n-->\n\n    indented\n"
    )
    found = [(each.language, each.text, each.marker, each.words) for each in blocks_of(page)]
    assert found == [
        ("shell", "a\n", "checked", "no Docker"),
        ("file", "c\n", "file", "b.py"),
        ("", "indented\n", "", ""),
    ]
    page.write_text("<!-- chekced: no Docker -->\n\n```shell\na\n```\n")
    with pytest.raises(ValueError, match="chekced"):
        blocks_of(page)


FAILING = [
    [("shell", "", "orchestrator show none")],
    [("shell", "fails", "echo well", "1")],
    [("python", "", "assert False")],
    [("shell", "", "echo one"), ("text", "printed", "two\n")],
    [("python", "", "print('one')"), ("text", "printed", "two\n")],
]


@pytest.mark.parametrize("blocks", FAILING)
def test_a_block_that_does_not_come_out_fails(blocks, tmp_path):
    *before, last = [
        Block(PAGE, 1, language, text, marker, *words) for language, marker, text, *words in blocks
    ]
    with Session.opened(tmp_path) as session:
        for block in before:
            session.follow(block)
        with pytest.raises(AssertionError):
            session.follow(last)


def test_blocks_follow_each_other_in_one_shell_and_in_one_python(tmp_path):
    with Session.opened(tmp_path) as session:
        session.follow(Block(PAGE, 1, "shell", "export GREETING=hello\nmkdir inner\ncd inner"))
        session.follow(Block(PAGE, 5, "text", "answer = 42\n", "file", "given.py"))
        session.follow(Block(PAGE, 9, "shell", 'echo "$GREETING" "$(basename "$PWD")"'))
        session.follow(Block(PAGE, 12, "text", "hello inner\n", "printed"))
        session.follow(Block(PAGE, 15, "python", "import given\nother = given.answer + 1"))
        session.follow(Block(PAGE, 19, "python", "print(other)"))
        session.follow(Block(PAGE, 22, "text", "4…\n", "printed"))
