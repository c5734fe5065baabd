"""When a worker may know a stage after it was started anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.settings import settings
from workers.runtime.code_check import lacks_new_module


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that names its pipelines by an entry point; a module of it is new on the disk."""
    about = tmp_path / "acme-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[orchestrator.pipelines]\nflows = acme_flows\n")
    (tmp_path / "acme_flows").mkdir()
    (tmp_path / "acme_flows" / "__init__.py").touch()
    (tmp_path / "acme_flows" / "new.py").write_text("VALUE = 1\n")
    (tmp_path / "acme_other.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ORCHESTRATOR_PIPELINES", raising=False)
    monkeypatch.setenv("ORCHESTRATOR_CODE", "reload")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("acme_flows.new.fit", True), ("acme_other.fit", False), ("acme_flows.gone.fit", False)],
)
def test_a_new_module_of_a_package_with_an_entry_point_may_have_an_unknown_stage(
    stage: str, expected: bool
) -> None:
    assert lacks_new_module(stage) is expected
