"""The notebook of the documentation, executed against a stack that is up."""

from __future__ import annotations

import shutil
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.harness.shell import Shell

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebook"

pytestmark = pytest.mark.stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Shell]:
    """A stack that was started in a copy of the notebook's folder."""
    home = tmp_path / "notebook"
    shutil.copytree(NOTEBOOK, home, ignore=shutil.ignore_patterns("__pycache__"))
    shell = Shell(home, {"ORCHESTRATOR_PIPELINES": "flowers"})
    shell.succeed("up")
    yield shell
    shell.succeed("down")


@pytest.mark.slow
def test_the_notebook_shows_what_it_says(stack: Shell) -> None:
    notebook = nbformat.read(stack.home / "first-runs.ipynb", as_version=4)
    kept = {cell.source: kinds(cell) for cell in code(notebook)}
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(stack.home)}})
    client.execute(env=stack.environment)
    cells = {cell.source: cell for cell in code(notebook)}
    assert {source: kinds(cell) for source, cell in cells.items()} == kept, "run `make notebook`"
    page = shown(cells["run"])["text/html"]
    assert "succeeded" in page
    assert "<svg" in page
    picture = b64decode(shown(cells['run.output("curve")'])["image/png"])
    assert picture.startswith(b"\x89PNG")
    assert "depth 1: 0." in shown(cells['run.node("score").logs()'])["text/plain"]
    (refusal,) = (cell for cell in cells.values() if "tree=3" in cell.source)
    assert "Did you mean 'trees'?" in refusal.outputs[0].text


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: NotebookNode) -> list[list[str]]:
    """What each output of a cell can be shown as."""
    return [sorted(output.get("data", {"text": ""})) for output in cell.outputs]


def shown(cell: NotebookNode) -> dict[str, str]:
    return dict(cell.outputs[-1].data)
