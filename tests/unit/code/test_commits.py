"""The git commit that a run is sent with."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.code import Commit, ask_commit, commit_of


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., object]:
    """A function in a file of its own, which nobody has committed."""
    file = tmp_path / "flows.py"
    file.write_text("def flow(): pass\n")
    specification = importlib.util.spec_from_file_location("flows", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    made: Callable[..., object] = module.flow
    return made


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_is_known_and_whether_files_have_changed_since(
    function: Callable[..., object], tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    assert commit_of(function) is None
    git(tmp_path, "add", "flows.py")
    assert commit_of(function) is None
    git(tmp_path, "commit", "--quiet", "--message", "flows")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "notes.txt").touch()
    assert commit_of(function) == Commit(commit, dirty=False)
    (tmp_path / "flows.py").write_text("def flow(): return 1\n")
    assert commit_of(function) == Commit(commit, dirty=True)


def test_git_is_asked_once_by_those_who_ask_at_the_same_time(
    function: Callable[..., object], tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "flows.py")
    git(tmp_path, "commit", "--quiet", "--message", "flows")
    expected = Commit(git(tmp_path, "rev-parse", "HEAD"), dirty=False)
    answers = [ask_commit(function) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda answer: answer(), answers)) == [expected] * 8
    assert len({answer.__self__ for answer in answers}) == 1  # type: ignore[attr-defined]
    assert ask_commit(len)() is None


def test_code_outside_of_repositories_has_no_commit(function: Callable[..., object]) -> None:
    assert commit_of(function) is None
    assert commit_of(len) is None


def test_code_has_no_commit_where_there_is_no_git(
    function: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit_of(function) is None
