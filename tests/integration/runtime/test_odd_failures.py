"""Whatever a stage raises is one failure, recorded and told, and never taken for a dead worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.cluster import LocalCluster
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.services import Service

from .conftest import SLOTS

pytestmark = pytest.mark.stack

TOLD = {
    "unprintable": "Unprintable: its message cannot be shown (RuntimeError in __str__)",
    "surrogate": r"FileNotFoundError: no file caf\udce9",
    "chain": "ExceptionGroup: several (3 sub-exceptions)",
    "unpicklable": "Unpicklable: stays here",
    "asyncio": "CancelledError",
    "interrupt": "KeyboardInterrupt",
    "generator": "GeneratorExit",
    "elusive": "Elusive: its message cannot be shown (KeyboardInterrupt in __str__)",
    "exit 1": "SystemExit: the stage called sys.exit(1); to fail, raise an exception",
    "exit 0": "SystemExit: the stage called sys.exit(0); to fail, raise an exception",
    "exit text": r"SystemExit: the stage called sys.exit('caf\udce9'); to fail, raise an exception",
    "empty": "ValueError",
}


@pytest.mark.parametrize("kind", TOLD)
def test_an_odd_error_is_one_failure_that_is_told(runner: Runner, kind: str) -> None:
    record = runner.run("odd_failure", kind=kind)
    assert record.error == f"fail_oddly: {TOLD[kind]}"
    (attempt,) = nodes_of(record)["fail_oddly"].attempts
    assert attempt.error == TOLD[kind]
    assert "raise_oddly(kind)" in (runner.reader.traceback(record.id, "fail_oddly", 1) or "")


def test_an_error_of_megabytes_is_cut_in_the_middle(runner: Runner) -> None:
    record = runner.run("odd_failure", kind="huge")
    assert record.error is not None
    assert len(record.error) < 11_000
    assert record.error.endswith("x the end")
    assert len(runner.reader.traceback(record.id, "fail_oddly", 1) or "") < 101_000


@pytest.mark.parametrize("kind", ["surrogate", "elusive", "exit 1"])
def test_an_odd_error_of_one_item_fails_that_item(runner: Runner, kind: str) -> None:
    record = runner.run("odd_failures", kind=kind)
    nodes = nodes_of(record)
    assert nodes["fail_oddly_in_items[1]"].error == TOLD[kind]
    assert [len(node.attempts) for node in nodes.values()] == [1, 1, 1, 1]


def test_text_that_is_no_text_passes_from_stage_to_stage(runner: Runner) -> None:
    record = runner.run("odd_texts", path="/data/caf\udce9")
    assert record.state == "succeeded", record.error
    assert nodes_of(record)["same"].value == "caf\udce9/data/caf\udce9"


def test_a_copy_of_the_process_does_not_come_back_from_the_stage(runner: Runner) -> None:
    record = runner.run("copied")
    assert states_of(record) == {"return_in_a_copy": "succeeded"}
    assert len(nodes_of(record)["return_in_a_copy"].attempts) == 1


def test_a_stage_that_changes_the_working_folder_changes_only_its_own(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("elsewhere", folder=str(tmp_path), times=SLOTS + 1)  # so one process runs it twice
    processes, folders = zip(*(node.value for node in record.nodes), strict=True)
    assert len(set(processes)) <= SLOTS
    assert set(folders) == {str(Path.cwd())}


def test_a_process_that_ends_itself_is_lost_and_the_stage_is_taken_for_the_cause(
    runner: Runner, tmp_path: Path
) -> None:
    record = runner.run("forced", marker=str(tmp_path / "starts"))
    assert (tmp_path / "starts").read_text() == "xxx"
    assert record.error is not None
    assert "was running when 3 workers died; the last: its process was lost" in record.error


def test_a_failure_that_cannot_be_recorded_counts_as_a_death(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("unrecorded", marker=str(tmp_path / "starts"))
    assert (tmp_path / "starts").read_text() == "xxx"
    assert record.error == (
        "break_the_record: DeadlyStage: break_the_record was running when 3 workers died; "
        "the last: its end could not be recorded: ValueError: the record is broken"
    )


@pytest.fixture
def plain_worker(cluster: LocalCluster) -> Service:
    """A worker in a locale that knows nothing but ASCII."""
    plain = {**cluster.environment, "LC_ALL": "C", "PYTHONUTF8": "0"}
    return replace(cluster, environment=plain).start("plain")


@pytest.mark.usefixtures("plain_worker")
def test_a_failure_is_recorded_in_the_plainest_locale(cluster: LocalCluster) -> None:
    run = cluster.submit("odd_failure", kind="surrogate")
    cluster.wait_until_concluded(run, 40)
    assert cluster.nodes(run)["fail_oddly"].error == TOLD["surrogate"]
