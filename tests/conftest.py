"""What holds for every test: how long Hypothesis may take; and a disk that can be filled."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Who starts the tests in the background may leave SIGINT ignored, which our programs would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Time is pytest-timeout's concern: a deadline for one example only fails on a busy machine.
hypothesis.settings.register_profile("here", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "long", deadline=None, print_blob=True, max_examples=3000, stateful_step_count=80
)
hypothesis.settings.load_profile("here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, gone with the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "orchestrator-test", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip()
        pytest.skip(f"needs the right to mount a small file system (root has it): {reason}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
