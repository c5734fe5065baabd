"""Runs on a Redis and a worker that are there: progress, summary, records, logs, waiting, leaving."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.shell import Done

from .conftest import Shell

TRANSITION = re.compile(r"^\d\d:\d\d:\d\d  taxed\[1\] +succeeded +[\d.]+ m?s  data@test$", re.MULTILINE)


def line_with(process: subprocess.Popen[str], text: str, seconds: float = 20) -> str:
    """The first line of a command's output that has a text in it."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    for line in process.stdout:
        if text in line:
            return line
        assert time.monotonic() < deadline
    pytest.fail(f"the command ended without saying {text!r}")


@pytest.fixture(scope="module")
def failed(own_redis: str, joined_home: Path, data_worker: object) -> Done:
    """A run that failed."""
    return Shell(joined_home, {"REDIS_URL": own_redis})("run", "unpaid", "--json")


def test_a_run_is_told_line_by_line_and_summed_up(joined: Shell) -> None:
    done = joined("run", "order", "-p", "count=4")
    assert done.status == 0, done
    assert TRANSITION.search(done.out)
    assert re.search(r"✓ order succeeded in ", done.out)
    assert re.search(r"✓ taxed ×4 +succeeded +.* median ", done.out)
    assert re.search(r"total +7.2\n", done.out)
    assert re.search(r"MLflow +run \w{32}", done.out)
    assert "next" in done.out
    assert done.err == ""


def test_a_long_map_is_told_by_counts(joined: Shell) -> None:
    done = joined("run", "order", "-p", "count=30")
    assert re.search(r"taxed +succeeded +30/30 done", done.out)
    assert "taxed[7]" not in done.out


def test_the_last_line_of_json_is_the_run(joined: Shell) -> None:
    done = joined("run", "order", "--json")
    record = done.last_json
    keys = "id pipeline state parameters started ended mlflow_run_id error name tags note nodes"
    assert list(record) == keys.split()
    assert record["state"] == "succeeded"
    assert record["parameters"] == {"count": 3}
    assert record["mlflow_run_id"]
    assert [node["name"] for node in record["nodes"]] == [
        "prices",
        *(f"taxed[{at}]" for at in range(3)),
        "total",
    ]
    keys = "name stage queue state reused started ended value progress attempts"
    assert list(record["nodes"][0]) == keys.split()
    assert record["nodes"][0]["stage"] == "cli_pipelines.prices"
    assert record["nodes"][-1]["value"] == pytest.approx(3.6)
    assert len(done.out.splitlines()) == 1
    assert "succeeded" in done.err
    assert json.loads(joined("show", record["id"], "--json").out) == record


def test_a_failed_run_ends_with_status_one(failed: Done) -> None:
    assert failed.status == 1
    record = failed.last_json
    assert record["state"] == "failed"
    assert record["error"] == "pay: RuntimeError: no money for 5"
    pay, ship = record["nodes"]
    assert [attempt["error"] for attempt in pay["attempts"]] == [
        "OSError: the bank is busy",
        "RuntimeError: no money for 5",
    ]
    assert ship["state"] == "upstream_failed"


def test_an_error_is_shown_with_its_traceback_and_short_in_the_summary(joined: Shell, failed: Done) -> None:
    run = failed.last_json["id"]
    shown = joined("show", run)
    assert shown.status == 0
    assert "pay, attempt 2 on data@test" in shown.out
    assert 'raise RuntimeError(f"no money for {amount:g}")' in shown.out
    assert "workers/runtime" not in shown.out
    assert f"see orchestrator logs {run} pay" in shown.out
    assert re.search(r"pay #1 .* OSError: the bank is busy", shown.out)


def test_logs_have_prints_log_records_and_tracebacks_by_attempt(joined: Shell, failed: Done) -> None:
    logged = joined("logs", failed.last_json["id"], "pay")
    assert "pay attempt 1  data@test  OSError: the bank is busy" in logged.out
    assert 'raise RuntimeError(f"no money for {amount:g}")' in logged.out
    run = joined("run", "order", "--json").last_json["id"]
    lines = [json.loads(line) for line in joined("logs", run, "--json").out.splitlines()]
    assert [(each["node"], each["attempt"], each["source"], each["text"]) for each in lines] == [
        ("prices", 1, "stdout", "looking up 3 prices"),
        ("prices", 1, "warning cli_pipelines", "prices may change"),
    ]
    assert "nothing was printed" in joined("logs", run, "taxed").err
    unknown = joined("logs", run, "totl")
    assert unknown.status == 2
    assert "Did you mean 'total'?" in unknown.err


def test_runs_are_listed_newest_first_and_named_by_their_beginning(joined: Shell) -> None:
    first = joined("run", "order", "--json").last_json["id"]
    second = joined("run", "order", "-p", "count=1", "--json").last_json["id"]
    listed = [run["id"] for run in json.loads(joined("runs", "--json").out)]
    assert listed.index(second) < listed.index(first)
    assert second in joined("runs", "--limit", "1").out
    assert json.loads(joined("show", "latest", "--json").out)["id"] == second
    assert json.loads(joined("show", second[:-1], "--json").out)["id"] == second
    several = joined("show", "order-")
    assert several.status == 2
    assert "AmbiguousRun" in several.err


def test_a_queue_without_worker_is_said_and_leaving_lets_the_run_go_on(joined: Shell) -> None:
    start = time.monotonic()
    with joined.start("run", "study") as process:
        said = line_with(process, "waiting: ")
        assert time.monotonic() - start < 15
        assert "no worker serves the queue 'training'; start one with: orchestrator worker training" in said
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on without us" in err
    assert json.loads(joined("show", "latest", "--json").out)["state"] == "pending"


def test_a_detached_run_is_followed_by_its_logs(joined: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submitted = joined("run", "patient", "-p", f"gate={gate}", "--detach", "--json")
    assert submitted.status == 0
    run = submitted.last_json["id"]
    assert submitted.last_json["state"] in ("pending", "running")
    with joined.start("logs", run, "--follow") as process:
        assert re.search(r"\d  linger +lingering", line_with(process, "lingering"))
        gate.touch()
        rest, _ = process.communicate(timeout=20)
    assert "leaving" in rest
    assert "lingering" not in rest
    assert process.returncode == 0
