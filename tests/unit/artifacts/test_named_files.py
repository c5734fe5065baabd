"""Files and folders that parameters name are known by what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator import pipeline, stage
from orchestrator.artifacts import named_files
from orchestrator.artifacts.named_files import ABSENT, content_digest, differs, paths_of, quick_digest

LONG_AGO = 1_600_000_000


@pytest.fixture
def digest(tmp_path: Path) -> Callable[[Path], str]:
    return lambda path: content_digest(path, tmp_path / "memory")


def age(file: Path, seconds: int = LONG_AGO) -> None:
    os.utime(file, (seconds, seconds))


def test_a_file_is_known_by_its_content(tmp_path: Path, digest: Callable[[Path], str]) -> None:
    file = tmp_path / "data.csv"
    assert digest(file) == ABSENT
    file.write_text("one")
    one = digest(file)
    assert one != ABSENT
    file.write_text("two")
    assert digest(file) != one
    file.write_text("one")
    age(file)
    assert digest(file) == one


def test_a_file_that_looks_the_same_is_not_read_again(
    tmp_path: Path, digest: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data.csv"
    file.write_text("one" * 100_000)
    age(file)
    one = digest(file)
    monkeypatch.setattr(named_files, "_digest", lambda *_: pytest.fail("it was read"))
    assert digest(file) == one


def test_a_folder_is_known_by_all_in_it(tmp_path: Path, digest: Callable[[Path], str]) -> None:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.png").write_text("a")
    (folder / "again").symlink_to(folder)
    seen = {digest(folder)}
    for change in (
        lambda: (folder / "deep" / "a.png").write_text("b"),
        lambda: (folder / "deep" / "a.png").rename(folder / "a.png"),
        lambda: (folder / "nowhere").symlink_to("gone"),
        lambda: (folder / "a.png").unlink(),
    ):
        change()
        assert digest(folder) not in seen
        seen.add(digest(folder))


def test_much_is_known_by_sizes_and_times_while_a_run_is_sent(
    tmp_path: Path,
) -> None:
    file, memory = tmp_path / "data.csv", tmp_path / "memory"
    file.write_text("one")
    small = quick_digest(file, memory)
    large = quick_digest(file, memory, 2)
    age(file)
    assert not differs(file, small, memory)
    assert differs(file, large, memory)
    file.write_text("two")
    assert differs(file, small, memory)
    assert not differs(file, ABSENT, memory)


@dataclass(frozen=True)
class Place:
    folder: Path
    name: str


@stage
def read(
    path: Path, many: list[Path], place: Place, maybe: Path | None = None, spare: Path = Path("spare")
) -> int:
    return 0


@stage
def each(path: Path, text: str) -> int:
    return 0


@pipeline
def reading() -> None:
    read(Path("a"), [Path("b"), Path("c")], Place(Path("d"), "not-a-path"))
    each.partial(text="not-a-path").map(path=[Path("e"), Path("f")])


def test_paths_are_found_wherever_a_parameter_has_them() -> None:
    graph = reading.graph()
    assert set(map(str, paths_of(graph["read"], read.function))) == {"a", "b", "c", "d", "spare"}
    assert list(map(str, paths_of(graph["each"], each.function))) == ["e", "f"]
    assert list(map(str, paths_of(graph["each"], each.function, (1,)))) == ["f"]
