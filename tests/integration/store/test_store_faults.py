"""Runs whose store is full, locked or damaged under them."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.archive.manifest import read_items
from orchestrator.artifacts import holds_all
from tests.harness.cluster import LocalCluster
from tests.harness.waiting import wait_until

from .conftest import Run, alter, cut_short, executions, fill, remove

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(
    ("maker", "reader", "damage"),
    [
        ("table", "count_rows", alter),
        ("table", "count_rows", remove),
        ("sales", "count_rows", alter),
        ("listing", "count_items", cut_short),
        ("folder", "count_words", alter),
    ],
)
def test_a_damaged_output_fails_what_reads_it_and_a_resumed_run_makes_it_anew(
    shared_cluster: LocalCluster, tmp_path: Path, maker: str, reader: str, damage: Callable[[Path], None]
) -> None:
    lines, gate = tmp_path / "lines", tmp_path / "gate"
    run = Run.submit(shared_cluster, f"relay_{maker}", gate=gate, path=lines)
    run.wait_for(maker, "succeeded")
    for blob in run.blobs(run.output(maker)):
        damage(blob)
    gate.touch()
    run.wait_for_end()
    error = str(run.record.error)
    kind = "MissingArtifact" if damage is remove else "AlteredArtifact"
    assert error.startswith(f"{reader}: {kind}: what {maker} gave cannot be read: artifact sha256:")
    assert error.endswith("`orchestrator resume RUN` sees to it.")
    assert "\n" not in error
    assert len(run.node(reader).attempts) == 1
    assert run.node("total").state == "upstream_failed"
    assert run.output(reader) is None

    assert f"is lost, altered or tried again: {maker}" in run.resume()
    assert run.record.state == "succeeded"
    assert run.node("until").reused
    assert run.node("total").value == (200_000 if maker == "sales" else 20_000)
    assert executions(lines) == {maker: 2, reader: 1, "total": 1}


@pytest.mark.slow
def test_a_result_of_an_earlier_run_that_was_damaged_is_computed_again(
    shared_cluster: LocalCluster, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    first = Run.finish(shared_cluster, "kept", path=lines)
    (blob,) = first.blobs(first.output("kept_table"))
    alter(blob)
    second = Run.finish(shared_cluster, "kept", path=lines)
    assert second.record.state == "succeeded"
    assert not second.node("kept_table").reused
    assert Run.finish(shared_cluster, "kept", path=lines).node("kept_table").reused
    assert executions(lines)["kept_table"] == 2


def test_a_stage_succeeds_though_its_log_and_its_cached_result_cannot_be_kept(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    run = Run.submit(cluster, "heavy", gate=tmp_path / "gate")
    run.wait_for("until", "running")
    run.file("logs").write_text("in the way")
    (tmp_path / "gate").touch()
    run.wait_for_end()
    assert run.record.state == "succeeded", run.record.error
    Path(run.store.url, "cache").write_text("in the way")
    assert Run.finish(cluster, "kept", path=tmp_path / "lines").record.state == "succeeded"
    told = (tmp_path / "worker.log").read_text()
    assert f"the log of length#1 of run {run.id} was not kept: cannot write" in told
    assert "the result was not kept for later runs: cannot write 'cache/" in told


@pytest.mark.slow
def test_a_resumed_run_does_again_what_was_lost_and_what_was_made_from_it_and_no_more(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    lines, marker = tmp_path / "lines", tmp_path / "mended"
    run = Run.finish(cluster, "fan", marker=marker, path=lines)
    assert run.record.state == "failed"
    before = executions(lines)
    assert set(before.values()) == {1}
    (table,) = run.blobs(run.output("table"))
    alter(table)
    (item,) = run.blobs(read_items(run.store, run.id, "big_item").outputs[5])
    remove(item)
    marker.touch()
    run.resume()
    assert run.record.state == "succeeded", run.record.error
    again = ["table", "beside", "big_item[5]", "size_of[5]", "total"]
    first = ["count_rows", *(f"size_of-2[{index}]" for index in range(70))]
    assert executions(lines) == before + Counter([*again, *first])


@pytest.mark.slow
def test_a_resumed_run_does_not_trust_manifests_that_are_cut_short(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    lines, marker = tmp_path / "lines", tmp_path / "mended"
    run = Run.finish(cluster, "fan", marker=marker, path=lines)
    cut_short(run.file("nodes/beside.json"))
    alter(run.file("nodes/total.json"))
    for file in run.file("items/size_of").iterdir():
        cut_short(file)
    marker.touch()
    run.resume()
    assert run.record.state == "succeeded", run.record.error
    counts = executions(lines)
    assert (counts["table"], counts["beside"], counts["total"]) == (1, 2, 2)
    assert {counts[f"size_of[{index}]"] for index in range(70)} == {2}
    assert {counts[f"big_item[{index}]"] for index in range(70)} == {1}


@pytest.mark.slow
def test_a_run_waits_for_a_full_disk_and_goes_on_when_it_has_space_again(
    small_disk: Path, cluster: LocalCluster, tmp_path: Path
) -> None:
    run = Run.submit(cluster, "heavy", gate=tmp_path / "gate")
    run.wait_for("until", "running")
    fill(small_disk, leave=200_000)
    (tmp_path / "gate").touch()
    run.wait_for("block", "retrying")
    assert list((small_disk / "store" / "drafts").iterdir()) == []
    assert run.output("block") is None
    remove(small_disk / "ballast")
    run.wait_for_end()
    assert run.record.state == "succeeded"
    first, *_, last = run.node("block").attempts
    assert str(first.error).startswith("StoreUnavailable: cannot write sha256:")
    assert "No space left on device" in str(first.error)
    assert "free some space" in str(first.error)
    assert last.error is None
    output = run.output("block")
    assert output is not None
    assert holds_all(output, run.store)


@pytest.mark.slow
def test_items_of_a_map_that_could_not_be_stored_are_tried_again(
    small_disk: Path, cluster: LocalCluster, tmp_path: Path
) -> None:
    run = Run.submit(cluster, "many", gate=tmp_path / "gate", path=tmp_path / "lines")
    run.wait_for("until", "running")
    fill(small_disk, leave=8_192)
    (tmp_path / "gate").touch()

    def is_an_item_tried_again() -> bool:
        return any(node.state == "retrying" for node in run.record.nodes if node.name.startswith("tick["))

    wait_until(is_an_item_tried_again, "an item found no space")
    remove(small_disk / "ballast")
    run.wait_for_end()
    assert run.record.state == "succeeded", run.record.error
    assert run.node("total").value == sum(range(70))


@pytest.mark.slow
def test_a_store_that_may_not_be_written_fails_a_stage_at_once(
    small_disk: Path, cluster: LocalCluster, tmp_path: Path
) -> None:
    run = Run.submit(cluster, "heavy", gate=tmp_path / "gate")
    run.wait_for("until", "running")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    (tmp_path / "gate").touch()
    run.wait_for_end()  # though its record cannot be kept
    assert run.record.state == "failed"
    assert str(run.record.error).startswith("until: StoreError: cannot create ")
    assert "Read-only file system" in str(run.record.error)
    assert "check the permissions" in str(run.record.error)
    assert len(run.node("until").attempts) == 1
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    run.resume()
    assert run.record.state == "succeeded"


@pytest.mark.slow
def test_a_run_whose_specification_is_cut_short_is_failed_instead_of_waiting_for_ever(
    cluster: LocalCluster,
) -> None:
    run = Run.submit(cluster, "remote")
    cut_short(run.file("specification.json"))
    cluster.start("remote", queues="deployment")
    run.wait_for_end()
    assert run.record.state == "failed"
    assert str(run.record.error).startswith(f"AlteredArtifact: 'runs/{run.id}/specification.json'")
