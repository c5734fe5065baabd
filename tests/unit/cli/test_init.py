"""What `init` accepts, refuses and writes."""

from __future__ import annotations

import ast
import shutil
import sys
import sysconfig
import tomllib

import pytest
import yaml

from orchestrator.cli import init as command
from orchestrator.cli.errors import UsageError
from orchestrator.client.program import program, with_program_name
from orchestrator.settings import InvalidSettings, named_by_project


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


IMPOSSIBLE = ("", "Churn", "1churn", "my churn", "../churn", "a--b", "churn-", "a" * 61)
TAKEN = ("class", "json", "tests", "data", "digits", "pandas", "orchestrator", "workers", "pipelines")
IN_TEMPLATE = ("load", "fit", "split", "pd", "stage", "pipeline", "context")


@pytest.mark.parametrize("name", IMPOSSIBLE + TAKEN + IN_TEMPLATE)
def test_a_name_that_python_or_another_package_has_is_refused(here, name):
    with pytest.raises(UsageError):
        command.init(name)
    assert list(here.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(here):
    (here / "churn").mkdir()
    (here / "churn" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        command.init("churn")
    (here / "shop").write_text("a file")
    with pytest.raises(UsageError, match="no folder"):
        command.init("shop")
    assert sorted(path.name for path in here.rglob("*")) == ["churn", "mine.txt", "shop"]


def test_an_empty_folder_becomes_the_project(here, capsys):
    (here / "my-churn").mkdir()
    command.init("my_churn")
    assert capsys.readouterr().out.startswith("my-churn/ is made; next:\n  cd my-churn && ")
    project = here / "my-churn"
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert about["name"] == "my-churn"
    assert about["entry-points"]["orchestrator.pipelines"] == {"my_churn": "my_churn"}
    assert named_by_project(project) == ("my_churn",)


def test_the_tests_are_run_by_the_pytest_beside_this_python_or_by_one_that_is_to_be_installed(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: f"{sysconfig.get_path('scripts')}/pytest")
    assert command.command_for_tests() == "pytest"
    monkeypatch.setattr(shutil, "which", lambda _: "/elsewhere/pytest")
    assert command.command_for_tests() == f"{sys.executable} -m pytest"
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert command.command_for_tests().startswith("pip install --editable '.[test]' && pytest")


def test_a_command_beside_the_new_project_is_named_so_that_it_can_be_called_inside_it(here, monkeypatch):
    installed = here / ".venv" / "bin" / "orchestrator"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [".venv/bin/orchestrator"])
    program.cache_clear()
    assert with_program_name("orchestrator run churn") == ".venv/bin/orchestrator run churn"
    assert with_program_name("orchestrator run churn", here / "churn") == f"{installed} run churn"
    program.cache_clear()


def test_all_files_are_filled_in_and_can_be_read(here):
    command.init("churn")
    for file in (here / "churn").rglob("*"):
        text = file.read_text() if file.is_file() else ""
        assert not any(word in text for word in command.PLACEHOLDERS)
        if file.suffix == ".py":
            ast.parse(text)
        elif file.suffix == ".yml" and "kubernetes" not in file.parts:
            yaml.safe_load(text)
    assert (here / "churn" / ".gitignore").is_file()


def test_a_project_that_cannot_be_finished_leaves_nothing(here, monkeypatch):
    monkeypatch.setattr(command, "filled", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command.init("churn")
    assert list(here.iterdir()) == []


def test_an_installation_without_the_compose_files_says_so(here, monkeypatch):
    monkeypatch.setattr(command, "_IN_CHECKOUT", here)
    with pytest.raises(UsageError, match="no files for Compose"):
        command.init("churn")
    assert list(here.iterdir()) == []


def test_a_pyproject_that_is_no_toml_is_told(here):
    assert named_by_project(here) == ()
    (here / "pyproject.toml").write_text("[project")
    with pytest.raises(InvalidSettings, match=r"pyproject\.toml cannot be read"):
        named_by_project(here)
