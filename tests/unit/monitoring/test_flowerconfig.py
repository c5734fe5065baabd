"""What Flower's pages say of a task."""

from __future__ import annotations

import pytest

from workers.flowerconfig import in_words


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ("{'run': 'digits-1', 'node': 'score[3]'}", "score[3] of digits-1"),
        ("{'run': 'digits-1', 'node': 'score', 'batch': 2}", "score (batch 2) of digits-1"),
        ("{'run': 'digits-1'}", "digits-1"),
        ("{}", "{}"),
        ("{'run': 'digits-1', 'no…", "{'run': 'digits-1', 'no…"),
        ("", ""),
        (None, None),
    ],
)
def test_a_task_is_shown_by_its_node_and_run(kwargs, words):
    assert in_words(kwargs) == words
