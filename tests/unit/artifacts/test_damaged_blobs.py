"""Blobs that were damaged, by chance or with intent: errors of ours, and no crash, for every codec."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KINDS = ["json", "array", "sparse", "frame", "columns", "series", "arrow", "estimator", "path"]


def decode_damaged(kinds: list[str], seed: int, count: int) -> dict[str, int]:
    """How many of the damaged blobs of each kind were refused, by a process that survived them all."""
    script = str(Path(__file__).with_name("mutations.py"))
    code = [sys.executable, script, ",".join(kinds), str(seed), str(count)]
    ended = subprocess.run(code, capture_output=True, text=True, timeout=800, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = ended.stdout.splitlines()
    assert len(lines) == len(kinds), lines  # one for each kind; others are errors that are not ours
    return {line.partition(":")[0]: int(line.split()[2]) for line in lines}


@pytest.mark.timeout(300)  # 10 s of work, in a process that imports all of the libraries
def test_a_damaged_blob_is_an_error_of_ours() -> None:
    assert all(decode_damaged(KINDS, 1, 30).values())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_damaged_blobs_are_errors_of_ours(kind: str) -> None:
    assert decode_damaged([kind], 2, 2_000)[kind] > 0
