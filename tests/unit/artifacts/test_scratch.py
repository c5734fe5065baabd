"""Temporary folders, which are removed even if their process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SHOWN_AND_KEPT = """
from orchestrator.artifacts.scratch import temporary_folder

with temporary_folder() as folder:
    (folder / "model").write_text("large")
    print(folder, flush=True)
    input()
"""


def start(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        [sys.executable, "-c", SHOWN_AND_KEPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_temporary_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    killed, folder = start(tmp_path)
    killed.kill()
    killed.communicate()
    assert (folder / "model").exists()
    alive, other = start(tmp_path)
    assert not folder.exists()
    third, _ = start(tmp_path)
    assert (other / "model").exists(), "its process lives"
    for process in (alive, third):
        process.communicate("\n")
        assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
