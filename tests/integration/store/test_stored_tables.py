"""Runs with tables that are stored by column."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.artifacts.tree import digests_in
from tests.harness.cluster import LocalCluster

from .conftest import Run, alter, executions

pytestmark = pytest.mark.stack


def test_a_stage_writes_the_column_that_it_changed_and_gets_those_that_it_names(
    shared_cluster: LocalCluster, tmp_path: Path
) -> None:
    run = Run.finish(shared_cluster, "columns", path=tmp_path / "lines")
    assert run.record.state == "succeeded", run.record.error
    assert run.node("named").value == ["day", "price"]
    before, after = (set(digests_in(run.output(name) or {})) for name in ("sales", "doubled"))
    assert len(before) == 3
    assert len(after - before) == 1


def test_items_of_a_map_get_the_columns_that_they_name(shared_cluster: LocalCluster, tmp_path: Path) -> None:
    run = Run.finish(shared_cluster, "columns_of_each", path=tmp_path / "lines")
    assert run.record.state == "succeeded", run.record.error
    assert run.node("named[0]").value == ["day", "price"]


def test_a_missing_column_fails_the_stage_at_once_and_is_named(
    shared_cluster: LocalCluster, tmp_path: Path
) -> None:
    run = Run.finish(shared_cluster, "missing_column", path=tmp_path / "lines")
    assert run.record.error == (
        "prize: MissingColumn: the table has no column 'prize'; its columns are 'price', 'amount', 'day'. "
        "Did you mean 'price'?"
    )
    assert len(run.node("prize").attempts) == 1


def test_a_lost_column_is_made_again_by_a_resumed_run(shared_cluster: LocalCluster, tmp_path: Path) -> None:
    lines, gate = tmp_path / "lines", tmp_path / "gate"
    run = Run.submit(shared_cluster, "relay_sales", gate=gate, path=lines)
    run.wait_for("sales", "succeeded")
    alter(run.blobs(run.output("sales"))[1])
    gate.touch()
    run.wait_for_end()
    assert "AlteredArtifact: what sales gave cannot be read" in str(run.record.error)
    run.resume()
    assert run.record.state == "succeeded"
    assert executions(lines) == {"sales": 2, "count_rows": 1, "total": 1}
