"""The Python client: submit, wait, read what came out, cancel, resume, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from orchestrator import OrchestratorError, connect, pipeline
from orchestrator.archive.manifest import Manifest
from orchestrator.archive.run_index import SEGMENTS, RunSummary
from orchestrator.artifacts import ArtifactStore, MissingArtifact, NoSuchPart
from orchestrator.artifacts.tree import digests_in
from orchestrator.authoring.errors import InvalidParameters
from orchestrator.client.errors import (
    AmbiguousRun,
    InvalidFilter,
    NoOutput,
    NoStack,
    NotImportable,
    OtherStack,
    RunFailed,
    StillRunning,
    UnknownNode,
)
from orchestrator.client.run_filter import RunFilter
from orchestrator.client.run_lookup import FEW, Records
from orchestrator.lifecycle.errors import InvalidLabels, UnknownPipeline
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect as connect_to_redis
from orchestrator.runs.errors import NothingLeft, RunIsOver, UnknownRun
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import Labels
from orchestrator.runs.states import RunState
from tests.harness.waiting import wait_until


@pytest.fixture(scope="session")
def trained_id() -> list[str]:
    """The id of a run of `trained`, once a test has made it: others only read it."""
    return []


@pytest.fixture
def trained(client, trained_id):
    if not trained_id:
        trained_id.append(client.submit("trained", rows=20).wait(60, check=True).id)
    return client.run(trained_id[0])


def test_a_pipeline_is_submitted_by_its_name_or_itself(client):
    from client_pipelines import squares  # type: ignore[import-not-found]

    by_name = client.submit("squares", numbers=[1, 2])
    by_itself = client.submit(squares, [3, 4])
    assert by_name.wait(60).result() == [1, 4]
    assert by_itself.wait(60).result() == [9, 16]
    assert by_itself.parameters == {"numbers": [3, 4]}
    assert repr(by_itself) == f"<Run {by_itself.id} succeeded>"


def test_what_was_returned_comes_back_as_it_was(trained):
    pd.testing.assert_frame_equal(
        trained.output("table"), pd.DataFrame({"x": range(20), "y": [2.0 * x for x in range(20)]})
    )
    halves = trained.output("halve")
    assert type(halves).__name__ == "Halves"
    pd.testing.assert_frame_equal(trained.output("halve.first"), halves.first)
    assert trained.output("fit").coef_ == pytest.approx([2.0])
    assert trained.node("score").output() == pytest.approx(1.0)


def test_the_result_is_put_together_as_the_pipeline_returned_it(trained):
    result = trained.result()
    assert list(result) == ["model", "score", "notes"]
    assert result["model"].coef_ == pytest.approx([2.0])
    assert (result["score"], result["notes"]) == (pytest.approx(1.0), "R² 1.00")


def test_a_part_of_the_result_that_was_skipped_is_none(client):
    run = client.submit("trained", rows=20, least=2.0).wait(60, check=True)
    assert run.result()["notes"] is None
    with pytest.raises(NoOutput, match="skipped"):
        run.output("describe")


def test_a_map_is_a_list_and_its_items_are_single_outputs(client):
    run = client.submit("squares", numbers=[5, 6, 7]).wait(60)
    assert run.output("square") == [25, 36, 49]
    assert run.output("square[1]") == 36
    assert [node.name for node in run.nodes] == ["square[0]", "square[1]", "square[2]", "total"]
    with pytest.raises(UnknownNode, match=r"square\[3\]"):
        run.output("square[3]")


def test_names_that_lead_nowhere_are_told(trained):
    with pytest.raises(UnknownNode, match="Did you mean 'score'"):
        trained.output("scores")
    with pytest.raises(NoSuchPart, match="third"):
        trained.output("halve.third")
    with pytest.raises(UnknownNode):
        trained.logs("nobody")


def test_the_logs_are_lines_and_read_as_text(trained):
    logs = trained.node("table").logs()
    assert [each.line.text for each in logs] == ["making 20 rows"]
    assert str(logs).endswith("table  making 20 rows")
    assert list(trained.follow_logs("table")) == list(logs)


def test_a_failed_run_says_why(client):
    run = client.submit("broken").wait(60)
    assert run.state == "failed"
    assert run.node("break_down").error == "ValueError: this cannot work"
    with pytest.raises(RunFailed, match="'break_down': ValueError: this cannot work"):
        run.wait(5, check=True)
    with pytest.raises(NoOutput, match=r"'break_down' .* failed \(ValueError: this cannot work\)"):
        run.output("break_down")
    with pytest.raises(NoOutput, match="upstream failed"):
        run.result()


def test_a_run_that_goes_on_has_no_output_yet_and_can_be_cancelled_and_resumed(client):
    run = client.submit("napping")
    wait_until(lambda: run.node("nap").state == "running", "it naps", 20)
    with pytest.raises(NoOutput, match="not succeeded yet"):
        run.result()
    with pytest.raises(StillRunning, match=r"still going on after 0\.1 s") as late:
        run.wait(0.1)
    assert isinstance(late.value, TimeoutError)
    with pytest.raises(NothingLeft, match="is going on"):
        run.resume()
    assert run.cancel() == 1
    assert run.wait(30).state == "cancelled"
    with pytest.raises(RunIsOver):
        client.submit("squares").wait(60).cancel()
    run.resume()
    wait_until(lambda: run.node("nap").state == "running", "it naps again", 20)
    run.cancel()
    assert run.wait(30).state == "cancelled"


def test_a_coroutine_waits_for_several_runs(client):
    async def both():
        runs = [client.submit("squares", numbers=[number]) for number in (2, 3)]
        return await asyncio.gather(*(run.wait_async(60) for run in runs))

    assert [run.result() for run in asyncio.run(both())] == [[4], [9]]


def test_mistakes_are_told_before_anything_is_made(client):
    before = client.runs(limit=1000)
    with pytest.raises(UnknownPipeline, match="Did you mean 'trained'"):
        client.submit("traind")
    with pytest.raises(InvalidParameters, match="there is no parameter 'row'"):
        client.submit("trained", row=3)
    with pytest.raises(InvalidParameters, match="rows='many'"):
        client.submit("trained", rows="many")
    with pytest.raises(TypeError, match="a pipeline or its name"):
        client.submit(3)
    assert client.runs(limit=1000) == before


def test_a_pipeline_of_a_notebook_is_refused(client):
    def here() -> None: ...

    here.__module__ = "__main__"
    with pytest.raises(NotImportable, match="cannot import"):
        client.submit(pipeline(here))


def test_runs_are_found_by_the_beginning_of_their_ids(client, trained):
    assert client.run(trained.id[:-1]) == trained
    assert client.run("latest").id == client.runs(limit=1)[0].id
    client.submit("trained").wait(60)
    with pytest.raises(AmbiguousRun, match="beginning of"):
        client.run("trained-")
    with pytest.raises(UnknownRun):
        client.run("nothing-like-it")


def test_outputs_are_read_without_the_stages_code(client, trained, monkeypatch):
    monkeypatch.setattr("orchestrator.client.outputs.returned_by", lambda _: None)
    halves = trained.output("halve")
    assert sorted(halves) == ["first", "second"]
    assert len(halves["first"]) == 10
    assert trained.output("fit").coef_ == pytest.approx([2.0])
    assert len(trained.output("halve.second")) == 10


def test_an_output_that_the_store_has_lost_is_told(client):
    run = client.submit("trained", rows=4321).wait(60, check=True)
    manifest = Manifest.read(client.records.store, run.id, "table")
    assert manifest is not None
    for digest in digests_in(manifest.output):
        client.records.store.local_path(digest).unlink()
    with pytest.raises(MissingArtifact, match="is not in the store"):
        run.output("table")


def test_a_part_may_have_a_number_for_a_name(client):
    run = client.submit("yearly").wait(60, check=True)
    assert run.output("by_year.2024") == [1, 2]
    assert run.output("by_year.2024.1") == 2
    with pytest.raises(NoSuchPart):
        run.output("by_year.2025")


def test_a_map_of_maps_keeps_the_empty_ones(client):
    run = client.submit("ragged").wait(60, check=True)
    assert run.result() == run.output("counted.each") == [[0, 1], [], [0]]
    assert run.output("counted.each[1]") == []


def test_a_client_of_another_redis_does_not_submit_to_the_latest_one(client, redis_url):
    other = connect(f"{redis_url}?virtual_host=15")
    with pytest.raises(OtherStack, match="a later `connect`"):
        client.submit("squares")
    assert other.runs() != []  # those of the store
    again = connect()
    assert again.submit("squares").wait(60).state == "succeeded"


def test_a_redis_that_has_gone_leaves_what_the_store_has(client, trained, caplog):
    gone = RunReader(connect_to_redis("redis://127.0.0.1:1/0"))
    left = replace(client, records=replace(client.records, readers=(gone,)))
    run = left.run(trained.id)
    assert (run.state, run.output("score")) == ("succeeded", pytest.approx(1.0))
    assert trained.id in [each.id for each in left.runs(limit=100)]
    assert repr(run) == f"<Run {trained.id} succeeded>"
    assert "does not answer any more" in caplog.text


def test_without_a_stack_runs_are_read_and_none_is_submitted(client, trained, monkeypatch, tmp_path):
    monkeypatch.delenv("REDIS_URL")
    alone = connect()
    run = alone.run(trained.id)
    assert (run.state, run.output("score")) == ("succeeded", pytest.approx(1.0))
    assert run.wait(1) == run
    with pytest.raises(NoStack, match="no stack up"):
        alone.submit("squares")
    with pytest.raises(NoStack):
        run.cancel()


def test_every_error_is_the_librarys_own(client):
    for wrong in (
        lambda: client.run("nope"),
        lambda: client.submit("nope"),
        lambda: connect("redis://nowhere:1").submit("squares"),
    ):
        with pytest.raises(OrchestratorError):
            wrong()


def test_a_notebook_is_shown_the_graph_the_states_and_the_result(client, trained):
    page = trained._repr_html_()
    for shown in ("<svg", "trained", "✓ succeeded", "result.score", trained.id):
        assert shown in page
    failed = client.submit("broken").wait(60)._repr_html_()
    assert "ValueError: this cannot work" in failed
    assert "upstream failed" in failed


def test_output_writes_what_came_out(shell, trained, tmp_path):
    assert json.loads(shell.succeed("output", trained.id, "score", "--json").out) == pytest.approx(1.0)
    assert "[20 rows" not in shell.succeed("output", trained.id, "table").out
    for name, read in (("t.parquet", pd.read_parquet), ("t.csv", pd.read_csv)):
        shell.succeed("output", trained.id, "table", "-o", str(tmp_path / name))
        assert list(read(tmp_path / name)["x"]) == list(range(20))
    shell.succeed("output", trained.id, "fit", "-o", str(tmp_path / "model.skops"))
    assert (tmp_path / "model.skops").stat().st_size > 0
    told = shell.succeed("output", trained.id).out
    assert "score: 1.0" in told
    assert "notes: R² 1.00" in told
    assert "result.score" in shell.succeed("show", trained.id).out


def test_a_file_comes_out_under_its_name(client, shell, tmp_path):
    run = client.submit("report").wait(60)
    shell.succeed("output", run.id, "-o", str(tmp_path))
    assert (tmp_path / "report.txt").read_text() == "all is well"
    refused = shell("output", run.id, "-o", str(tmp_path / "missing" / "x"))
    assert (refused.status, refused.err.count("\n")) == (2, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("table", "-o", "table.xlsx"), "NotWritable: 'table' of .* has no form .xlsx"),
        (("table", "-o", "/nowhere/table.csv"), "NotWritable: there is no folder /nowhere"),
        (("fit", "--json"), "NotWritable: .* has no form in JSON"),
        (("describe.first",), "NoSuchPart"),
        (("nope",), "UnknownNode"),
    ],
)
def test_what_cannot_be_written_is_one_clear_line(shell, trained, words, told):
    refused = shell("output", trained.id, *words)
    assert refused.status == 2
    assert re.match(told, refused.err), refused.err
    assert "Traceback" not in refused.err


def test_runs_are_found_by_what_they_are_called(client, shell):
    named = client.with_options(name="nightly", tags={"team": "risk"}, note="for the audit")
    run = named.submit("squares").wait(60)
    other = client.submit("squares").wait(60)
    assert client.runs(name="nightly") == [run]
    assert client.runs(tags={"team": None}, pipeline="squares", state="succeeded") == [run]
    assert client.run("nightly") == run
    assert other in client.runs(since="1h", limit=None)
    assert not client.runs(state=["failed"], name="nightly")
    listed = json.loads(shell.succeed("runs", "--tag", "team=risk", "--json").out)
    assert [each["id"] for each in listed] == [run.id]
    assert (listed[0]["name"], listed[0]["tags"], listed[0]["note"]) == (
        "nightly",
        {"team": "risk"},
        "for the audit",
    )
    shown = shell.succeed("show", "nightly").out
    assert "for the audit" in shown
    assert "team=risk" in shown
    assert "nightly" in run._repr_html_()
    with pytest.raises(InvalidFilter, match="no moment"):
        client.runs(since="last week")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tags": {"mlflow.user": "x"}}, "are taken"),
        ({"tags": {"": "x"}}, "its name has letters"),
        ({"tags": {"a//b": "x"}}, "a plain path"),
        ({"tags": {"../x": "y"}}, "a plain path"),
        ({"tags": {"/x": "y"}}, "a plain path"),
        ({"tags": {".": "y"}}, "a plain path"),
        ({"tags": {"x": 1}}, "are texts"),
        ({"tags": {"x": "y" * 5001}}, "more than 5000"),
        ({"name": "two\nlines"}, "in one line"),
        ({"name": 5}, "are texts"),
        ({"tags": ["a"]}, "texts by name"),
        ({"name": "latest"}, "the newest of all"),
        ({"note": "caf\udce9"}, "no text"),
        ({"tags": {"x": "a\0b"}}, "no text"),
        ({"note": "see postgres://u:secret@host"}, "password"),
    ],
)
def test_labels_that_cannot_be_are_refused(client, options, told):
    with pytest.raises(InvalidLabels, match=told):
        client.with_options(**options).submit("squares")


def test_secrets_in_labels_are_masked(client):
    named = client.with_options(name="masked", tags={"api_token": "abcdef"}, note="token=abcdef")
    run = named.submit("squares").wait(60)
    kept = client.records.get(run.id).record.labels
    assert kept == Labels(name="masked", tags={"api_token": "***"}, note="token=***")


def test_a_parameter_that_is_a_secret_by_its_name_is_warned_of(client, caplog):
    client.submit("keyed")
    assert "the parameter 'api_key' stands in the artifact store" in caplog.text
    assert "context.secret" in caplog.text
    assert "abcdefgh" not in caplog.text


def test_since_takes_a_moment_with_or_without_a_zone(client):
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    there = client.runs(since=hour_ago, limit=None)
    assert client.runs(since=hour_ago.astimezone().replace(tzinfo=None), limit=None) == there


def test_a_run_that_cannot_be_read_is_left_out_of_the_json(shell, tmp_path):
    home = tmp_path / "altered"
    store = ArtifactStore(str(home / "artifacts"))
    now = datetime.now(UTC)
    ids = [RunId(f"p-{now:%Y%m%d-%H%M%S}-{number:04x}") for number in range(FEW + 1)]
    lines = [RunSummary(id=run, pipeline="p", state=RunState.SUCCEEDED, submitted=now) for run in ids]
    for run in ids:
        store.write(f"runs/{run}/specification.json", b"{}")
    store.write(f"{SEGMENTS}/0.jsonl", "\n".join(json.dumps(each.to_json()) for each in lines).encode())
    done = replace(shell, home=home, variables={}).succeed("runs", "--json", "--limit", "100")
    assert json.loads(done.out) == []
    assert ids[0] in done.err


def test_two_runs_are_compared(client, shell, trained):
    other = client.submit("trained", rows=30, least=2.0).wait(60)
    found = json.loads(shell.succeed("compare", trained.id, other.id, "--json").out)
    told = {(each["section"], each["name"]): (each["left"], each["right"]) for each in found["differences"]}
    assert told[("parameters", "rows")] == (20, 30)
    assert told[("outputs", "describe")] == ("R² 1.00", None)
    assert ("outputs", "table") in told
    assert found["same"]["graph"] == 6
    page = shell.succeed("compare", trained.id, other.id).out
    assert "rows" in page
    assert "nothing differs" in shell.succeed("compare", other.id, other.id).out
    assert shell("compare", other.id, "nobody").status == 2


def test_ten_thousand_runs_are_listed_at_once(client, shell, tmp_path):
    home = tmp_path / "many"
    runs = home / "artifacts" / "runs"
    store = ArtifactStore(str(home / "artifacts"))
    now = datetime.now(UTC)
    lines = []
    for number in range(10_000):
        moment = now - timedelta(minutes=number)
        summary = RunSummary(
            id=RunId(f"p-{moment:%Y%m%d-%H%M%S}-{number:04x}"),
            pipeline="p",
            state=RunState.FAILED if number % 10 == 9 else RunState.SUCCEEDED,
            submitted=moment,
            labels=Labels(tags={"tenth": str(number % 10)}),
        )
        (runs / summary.id).mkdir(parents=True)
        (runs / summary.id / "specification.json").write_text("{}")
        lines.append(summary)
    for start in range(0, 10_000, 2_500):
        store.write(
            f"{SEGMENTS}/{start}.jsonl",
            "\n".join(json.dumps(each.to_json()) for each in lines[start : start + 2_500]).encode(),
        )
    many = Records(store, ())
    before = time.process_time()
    assert len(list(many.listed(limit=10_000))) == 10_000
    assert len(list(many.listed(RunFilter(states=frozenset({"failed"}), tags={"tenth": "9"})))) == 1_000
    assert time.process_time() - before < 2.0
    alone = replace(shell, home=home, variables={})
    assert alone.succeed("runs", "--limit", "10000", "--state", "failed").out.count("p-2") == 1_000
