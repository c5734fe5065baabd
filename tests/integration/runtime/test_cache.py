"""Results of earlier runs are taken where code, parameters and inputs are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.archive.cached_results import CACHE, owners
from orchestrator.archive.logs import read_log
from orchestrator.archive.run_record import read_final
from orchestrator.lifecycle.resume import send_round
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.settings import settings
from tests.harness.runner import Runner, nodes_of
from tests.harness.waiting import wait_until

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


def test_a_cached_result_belongs_to_the_run_that_used_it_last_as_well(runner: Runner, tmp_path: Path) -> None:
    lines = str(tmp_path / "lines")
    first, second, third = (runner.run("cached", path=lines).id for _ in range(3))
    entries = [(owners(runner.store.read(key) or b""), key) for key in runner.store.keys(CACHE)]
    ours = [belongs for belongs, key in entries if first in belongs and "latest" not in key]
    assert ours
    assert set(ours) == {frozenset({first, third})}, second


def test_another_parameter_is_computed(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    first = runner.run("cached", path=str(lines))
    node = nodes_of(runner.run("cached", path=str(lines), value=5))["cached_note"]
    assert not node.reused
    assert node.why == f"computed: since run {first.id}, value differs"


def test_an_item_of_a_map_is_reused_whatever_the_others_are(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    runner.run("cached_map", path=str(lines), values=[1, 2])
    nodes = nodes_of(runner.run("cached_map", path=str(lines), values=[3, 2]))
    assert [nodes[f"cached_note[{index}]"].reused for index in (0, 1)] == [False, True]
    assert sorted(lines.read_text().split()) == ["1", "2", "3"]


def test_an_item_of_a_long_map_is_reused(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    runner.run("cached_map", path=str(lines), values=list(range(70)))
    again = runner.run("cached_map", path=str(lines), values=list(range(70)))
    items = [node for node in again.nodes if node.stage.endswith("cached_note")]
    assert all(node.reused for node in items)
    assert all("same code, parameters and inputs" in node.why for node in items)
    assert len(lines.read_text().split()) == 70


def test_what_kept_a_result_from_being_reused_is_told(runner: Runner, tmp_path: Path) -> None:
    lines = str(tmp_path / "lines")
    first = runner.run("versioned", path=lines, version="1")
    node = nodes_of(first)["cached_note"]
    assert node.why == "computed: no earlier run has a result of this node"
    assert nodes_of(runner.run("versioned", path=lines, version="1"))["cached_note"].reused
    second = nodes_of(runner.run("versioned", path=lines, version="2", value=9))["cached_note"]
    assert second.why == f"computed: since run {first.id}, its code has changed and value differs"


def test_a_run_may_refuse_earlier_results(runner: Runner, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    runner.run("cached", path=str(lines))
    given = {"path": str(lines)}
    prepared = prepare(runner.pipeline("cached"), given, queues=settings().queues, cache=False)
    run = submit(prepared, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
    assert lines.read_text().split().count("1") == 2
    refused = nodes_of(runner.reader.read(run, prepared.graph))["cached_note"]
    assert refused.why == "computed: the run was sent with --no-cache"


def test_why_is_kept_when_redis_has_forgotten_the_run(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("cached", path=str(tmp_path / "lines"))
    final = read_final(runner.store, record.id)
    assert final is not None
    assert nodes_of(final[0])["cached_note"].why == nodes_of(record)["cached_note"].why != ""


def test_a_file_that_a_parameter_names_counts_by_its_content(runner: Runner, tmp_path: Path) -> None:
    (path := tmp_path / "data.csv").write_text("12345")
    first = runner.run("sizes", path=str(path))
    path.touch()
    assert nodes_of(runner.run("sizes", path=str(path)))["sized"].reused
    path.write_text("123456")
    node = nodes_of(runner.run("sizes", path=str(path)))["sized"]
    assert (node.value, node.why) == (6, f"computed: since run {first.id}, {path} has changed")


def test_a_resumed_run_reads_a_changed_file_again(runner: Runner, tmp_path: Path) -> None:
    (path := tmp_path / "data.csv").write_text("123")
    record = runner.run("sizes", path=str(path))
    assert record.state == "failed"
    path.write_text("12345")
    send_round(record.id, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(record.id), "the resumed run is concluded")
    nodes = nodes_of(runner.reader.read(record.id, runner.prepare("sizes", path=str(path)).graph))
    assert nodes["fails_with"].value == 5
    assert nodes["fails_with"].why == f"run: {path} has changed since the run was sent"
