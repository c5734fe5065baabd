"""What holds for every test: how long Hypothesis may take, and what no test may leave; a disk to fill."""

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


#: Where the tests were started, as a user starts ours.
STARTED_IN = Path.cwd()


def _own_files() -> set[str]:
    """What lies there, without what caches and editors hide."""
    names = (path.name for path in STARTED_IN.iterdir())
    return {name for name in names if name == ".orchestrator" or not name.startswith((".", "__"))}


@pytest.fixture(autouse=True)
def untouched_folder() -> Iterator[None]:
    """Nothing of ours may write outside the folders that it is given."""
    before = _own_files()
    yield
    left = sorted(_own_files() - before)
    assert not left, f"left in {STARTED_IN} by this test, or by the services that it shares: {left}"


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
