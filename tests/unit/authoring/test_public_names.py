"""What `orchestrator` exports: each name is there, and costs nothing before it is used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator

CODE = """
import sys
from pathlib import Path
import orchestrator
heavy = ("celery", "kombu", "redis", "obstore", "numpy", "pandas", "pyarrow", "sklearn", "skops", "mlflow")
print(sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
"""


@pytest.mark.parametrize("name", orchestrator.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(orchestrator, name) is not None


def test_another_name_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'orchestrator' has no attribute 'regster_codec'"):
        _ = orchestrator.regster_codec  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_heavy() -> None:
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True).strip() == "[]"


def test_each_public_name_is_in_the_reference():
    page = (Path(orchestrator.__file__).parents[1] / "docs/reference/python.md").read_text()
    described = re.findall(r"^::: (\S+)", page, flags=re.M)
    for name in set(orchestrator.__all__) - {"context"}:
        found = getattr(orchestrator, name)
        home = f"{found.__module__}.{found.__qualname__}"
        assert any(home == each or home.startswith(f"{each}.") for each in described), home
