"""Results of earlier runs are taken where code, parameters and inputs are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.archive.logs import read_log
from orchestrator.coordinator.submission import prepare, submit
from orchestrator.settings import settings

from ..conftest import wait_until
from .conftest import Runner, nodes_of

pytestmark = pytest.mark.stack


def test_the_same_inputs_are_not_computed_twice(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    first = runner.run("cached", path=str(lines))
    second = runner.run("cached", path=str(lines))
    assert sorted(lines.read_text().split()) == ["1", "7", "8"]
    assert not nodes_of(first)["cached_note"].reused
    assert nodes_of(second)["cached_note"].reused
    assert nodes_of(second)["cached_note"].value == 2
    assert nodes_of(second)["add"].value == nodes_of(first)["add"].value
    told = [line.text for line in read_log(runner.store, second.id, "cached_note", 1) or ()]
    assert told == [f"taken from cached_note of run {first.id}: same code, parameters and inputs"]


def test_another_parameter_is_computed(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    runner.run("cached", path=str(lines))
    assert not nodes_of(runner.run("cached", path=str(lines), value=5))["cached_note"].reused


def test_a_run_may_refuse_earlier_results(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    runner.run("cached", path=str(lines))
    given = {"path": str(lines)}
    prepared = prepare(runner.pipeline("cached"), given, queues=settings().queues, cache=False)
    run = submit(prepared, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    assert lines.read_text().split().count("1") == 2
