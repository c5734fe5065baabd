"""The systemd units are what systemd understands, and hardened alike."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docker" / "systemd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(
    ("unit", "instance"),
    [
        ("orchestrator-worker@.service", "orchestrator-worker@training.service"),
        ("orchestrator-coordinator.service",) * 2,
    ],
)
def test_systemd_understands_a_unit(tmp_path, unit, instance):
    program = shutil.which("true")
    text = (FOLDER / unit).read_text().replace("/opt/orchestrator/bin/orchestrator", str(program))
    (tmp_path / instance).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / instance], capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if "orchestrator" in line]
    assert not ours, done.stderr
    assert done.returncode == 0, done.stderr


def test_a_stopping_worker_has_longer_than_its_stages():
    text = (FOLDER / "orchestrator-worker@.service").read_text()
    found = {name: float(value) for name, value in re.findall(r"(TimeoutStopSec|GRACE_SECONDS)=(\d+)", text)}
    assert found["TimeoutStopSec"] >= found["GRACE_SECONDS"] + 5
