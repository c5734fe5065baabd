"""A pipeline that is mapped: a copy of its graph for each element, on workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import redis

from orchestrator.lifecycle.resume import send_round
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.record import RunRecord
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until

from .test_following_maps import calls, succeed

pytestmark = pytest.mark.stack


def resume(runner: Runner, run: RunId, name: str) -> RunRecord:
    """The run, once it has ended again."""
    number = send_round(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.concluded(run), f"round {number} is concluded", 40)
    return runner.reader.read(run, runner.prepare(name, folder="").graph)


def forget(client: redis.Redis, run: RunId) -> None:
    """Have Redis lose a run."""
    for key in client.keys(f"{RunKeys(run).base}*"):
        client.delete(key)


def collections(folder: Path) -> int:
    """How often `collect` was called."""
    return len(list(folder.glob("collected *")))


def test_each_copy_goes_on_without_the_others(runner: Runner, tmp_path: Path) -> None:
    run = runner.submit("releases", folder=str(tmp_path))
    for other in ("1", "2", "3"):
        (tmp_path / other).touch()
    wait_until(succeed(runner, run, "release[2].fit"), "one copy is done", 20)
    states = runner.reader.raw_states(run)
    assert states["release.wait_for_file"] == states["release.fit"] == "running"
    assert "release[0].double" not in states
    (tmp_path / "0").touch()
    wait_until(lambda: runner.reader.concluded(run), "the run ends")
    record = runner.reader.read(run, runner.prepare("releases", folder="").graph)
    assert record.state == "succeeded"
    assert nodes_of(record)["collect"].value == [0, 60], "what is skipped is left out"
    assert states_of(record)["release[1].fit"] == "skipped"
    assert calls(tmp_path) == [0, 1, 2, 3]


def test_a_copy_that_fails_keeps_no_other_from_its_end(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("mended", folder=str(tmp_path))
    states = states_of(record)
    assert record.state == "failed"
    assert str(record.error).startswith("mend[1].fail_until_mended: RuntimeError")
    assert states["mend[1].sum_of"] == states["collect"] == "upstream_failed"
    assert states["mend[0].sum_of"] == states["mend[2].sum_of"] == "succeeded"
    (tmp_path / "mended").touch()
    again = resume(runner, record.id, "mended")
    assert again.state == "succeeded"
    assert nodes_of(again)["collect"].value == [0, 3, 6]
    assert calls(tmp_path) == [0, 1, 2], "what was done stays done"


def test_what_was_skipped_stays_so_when_the_run_is_resumed(runner: Runner, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).touch()
    record = runner.run("mended_beside", folder=str(tmp_path))
    assert record.state == "failed"
    assert nodes_of(record)["collect"].value == [0, 60]
    (tmp_path / "mended").touch()
    again = resume(runner, record.id, "mended_beside")
    assert again.state == "succeeded"
    assert nodes_of(again)["collect"].value == [0, 60]
    assert calls(tmp_path) == [0, 1, 2]
    assert collections(tmp_path) == 1


def test_a_run_that_redis_has_lost_is_resumed_copy_by_copy(
    runner: Runner, client: redis.Redis, tmp_path: Path
) -> None:
    record = runner.run("mended", folder=str(tmp_path))
    (tmp_path / "mended").touch()
    forget(client, record.id)
    again = resume(runner, record.id, "mended")
    assert again.state == "succeeded"
    assert nodes_of(again)["collect"].value == [0, 3, 6]
    assert calls(tmp_path) == [0, 1, 2]


def test_lists_of_different_lengths_are_told_by_their_names(runner: Runner) -> None:
    record = runner.run("pairs", first=3, second=2)
    assert record.state == "failed"
    told = "pair.map(…) goes through its lists side by side, but left has 3, right has 2"
    assert told in str(record.error)


def test_many_copies_are_run_in_batches(runner: Runner) -> None:
    record = runner.run("many", count=300)
    assert record.state == "succeeded"
    assert nodes_of(record)["total"].value == 2 * sum(range(300))
    assert {len(node.attempts) for node in record.nodes} == {1}
    expanded = Counter(event.node for event in runner.reader.events(record.id) if event.state == "expanded")
    assert set(expanded.values()) == {1}


def tried(folder: Path) -> dict[int, int]:
    """How often `try_out` was called, by its value."""
    return Counter(int(file.name.split()[1]) for file in folder.glob("tried *"))


def test_maps_within_copies_have_lengths_of_their_own(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("searches", folder=str(tmp_path))
    states = states_of(record)
    assert record.state == "failed"
    assert str(record.error).startswith("search[3].try_out[2]: RuntimeError")
    assert states["search[3].try_out[1]"] == states["search[2].total"] == "succeeded"
    assert states["search[3].sum_of[2]"] == states["search[3].total"] == "upstream_failed"
    assert states["search[3].sum_of[1]"] == "succeeded", "what the failed item does not feed goes on"
    assert states["search[0].sum_of"] == "succeeded", "a map without items"
    (tmp_path / "mended").touch()
    again = resume(runner, record.id, "searches")
    assert again.state == "succeeded"
    assert nodes_of(again)["collect"].value == [0, 1, 3, 6]
    assert tried(tmp_path) == {0: 3, 1: 2, 2: 2}, "what was done stays done"


def test_mapped_pipelines_are_mapped_in_mapped_ones(
    runner: Runner, client: redis.Redis, tmp_path: Path
) -> None:
    record = runner.run("regions", folder=str(tmp_path))
    assert record.state == "succeeded"
    assert nodes_of(record)["region[3].search[2].sum_of[1]"].value == 2
    assert nodes_of(record)["collect"].value == [0, 0, 1, 4]


def test_a_nested_map_that_redis_has_lost_is_resumed_item_by_item(
    runner: Runner, client: redis.Redis, tmp_path: Path
) -> None:
    record = runner.run("searches", folder=str(tmp_path))
    (tmp_path / "mended").touch()
    forget(client, record.id)
    again = resume(runner, record.id, "searches")
    assert again.state == "succeeded"
    assert nodes_of(again)["collect"].value == [0, 1, 3, 6]
    assert tried(tmp_path) == {0: 3, 1: 2, 2: 2}


def test_a_square_of_items_is_as_long_as_its_sides(runner: Runner) -> None:
    record = runner.run("grids", side=20)
    assert record.state == "succeeded", record.error
    assert nodes_of(record)["total"].value == 20 * sum(range(20)) + 20 * sum(range(20))
    assert sum(node.name.startswith("grid[") and "sum_of" in node.name for node in record.nodes) == 400
