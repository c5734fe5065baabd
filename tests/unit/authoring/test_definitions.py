"""What can be a stage or a pipeline, and that each name stands for one function."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from orchestrator import pipeline, stage
from orchestrator.authoring.errors import InvalidDefinition

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Writes the module `made` anew and imports it, or loads it again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text: str) -> ModuleType:
        (tmp_path / "made.py").write_text("from orchestrator import pipeline, stage\n" + dedent(text))
        module = sys.modules.get("made")
        return importlib.reload(module) if module else importlib.import_module("made")

    yield write
    sys.modules.pop("made", None)


FACTORY = """
def make(k):
    @stage
    def scale(x: int) -> int:
        return x * k
    return scale
"""


def test_a_factory_cannot_make_two_stages_of_one_name(load: Load, tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        load(FACTORY + "\ndouble = make(2)\ntriple = make(3)\n")
    file = tmp_path / "made.py"
    assert str(caught.value) == (
        f"two functions are stage made.scale: {file}:4 (for {file}:9) and {file}:4 (for {file}:10)"
    )
    assert "parameter" in str(caught.value.hint)


def test_a_factory_may_make_the_same_stage_again(load: Load) -> None:
    made = load(FACTORY + "\ndouble = make(2)\nagain = make(2)\n")
    assert made.again(5) == 10


WRITTEN_TWICE = """
@stage
def one() -> int:
    return 1

@stage
def one() -> int:
    return 2
"""

BY_DEFAULTS = """
for k in (2, 3):
    @stage
    def one(k: int = k) -> int:
        return k
"""

WITHOUT_WRAPS = """
def loud(function):
    def call() -> int:
        return function()
    return call

@stage
@loud
def one():
    return 1

@stage
@loud
def two():
    return 2
"""

PIPELINES = """
def make(times):
    @pipeline
    def one() -> None:
        for _ in range(times):
            pass
    return one

once, twice = make(1), make(2)
"""


@pytest.mark.parametrize("text", [WRITTEN_TWICE, BY_DEFAULTS, WITHOUT_WRAPS, PIPELINES])
def test_two_functions_of_one_name_are_refused(load: Load, text: str) -> None:
    told = r"^two functions are (stage|pipeline) made\.\w+: .*made\.py:\d+.* and .*made\.py:\d+"
    with pytest.raises(InvalidDefinition, match=told):
        load(text)


def test_a_module_that_is_loaded_again_defines_its_stages_anew(load: Load) -> None:
    load("@stage\ndef one() -> int:\n    return 1\n")
    assert load("# edited\n\n@stage\ndef one() -> int:\n    return 2\n").one() == 2
    assert load(FACTORY + "\ndouble = make(2)\n").double(5) == 10
    assert load(FACTORY + "\ndouble = make(3)\n").double(5) == 15


def test_what_is_typed_at_a_prompt_may_be_defined_anew() -> None:
    lines = "from orchestrator import stage\n@stage\ndef one() -> int:\n    return {}\n\n"
    typed = lines.format(1) + lines.format(2) + "print(one())\n"
    done = subprocess.run(
        [sys.executable, "-i", "-c", ""], input=typed, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "2", done.stderr


def quiet(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


def collected(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return list(function(*args, **kwargs))

    return call


async def awaited() -> int:
    return 1


def yielding() -> Iterator[int]:
    yield 1


async def yielding_awaited() -> AsyncIterator[int]:
    yield 1


class Callee:
    __name__ = "callee"

    async def __call__(self) -> int:
        return 1


@pytest.mark.parametrize("kind", [stage, pipeline])
@pytest.mark.parametrize(
    ("function", "told"),
    [
        (awaited, "stage awaited .* is written with async def"),
        (yielding, "is a generator"),
        (yielding_awaited, "is an async generator"),
        (quiet(awaited), "is written with async def"),
        (quiet(quiet(yielding)), "is a generator"),
        (functools.update_wrapper(functools.partial(awaited), awaited), "is written with async def"),
        (functools.update_wrapper(functools.partial(quiet(yielding)), yielding), "is a generator"),
        (Callee(), "is written with async def"),
        (functools.partial(yielding), "takes a function written with def, not a partial"),
    ],
)
def test_what_does_not_return_its_result_is_refused(kind: Callable, function: Callable, told: str) -> None:
    with pytest.raises(InvalidDefinition, match=told.replace("stage", kind.__name__)) as caught:
        kind(function)
    assert "\n" not in str(caught.value)


def test_a_decorator_may_run_what_does_not_return_its_result() -> None:
    made = stage(collected(yielding))
    assert made.function() == [1]
