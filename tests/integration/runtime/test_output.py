"""What a stage prints, by whatever means, is in its log: once, in order, and at little cost."""

from __future__ import annotations

import pytest

from orchestrator.archive.logs import Line, read_log
from orchestrator.archive.specification import Specification
from orchestrator.runs.record import RunRecord
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.services import Service

pytestmark = pytest.mark.stack


def lines_of(runner: Runner, record: RunRecord) -> list[Line]:
    return list(read_log(runner.store, record.id, "print_oddly", 1) or ())


def printed(runner: Runner, how: str) -> list[str]:
    return [line.text for line in lines_of(runner, runner.run("printing", how=how))]


def test_all_ways_to_print_are_kept_in_their_order(runner: Runner) -> None:
    record = runner.run("printing", how="everything")
    assert record.error is None
    lines = [(line.source, line.text) for line in lines_of(runner, record)]
    assert [line for line in lines if line[0] != "warning py.warnings"] == [
        ("stdout", "by print"),
        ("stdout", "by buffer"),
        ("stdout", "by descriptor"),
        ("stdout", "by a child"),
        ("stdout", "by a child that is given it"),
        ("stdout", "by C"),
        ("info mine", "by logging"),
        ("stdout", "by a forked child"),
        ("stdout", "at the end by C"),
    ]
    assert any("UserWarning: by warnings" in text for _, text in lines)


def test_a_hundred_thousand_prints_without_a_line_end_are_one_line(runner: Runner) -> None:
    (line,) = printed(runner, "dots")
    assert line == "." * 10_000 + " … 90000 more bytes of this line are not kept"


def test_a_line_that_is_redrawn_is_kept_as_it_was_last(runner: Runner) -> None:
    assert printed(runner, "redraws") == ["20000 of 20000"]
    assert printed(runner, "carriage returns") == ["one", "three"]
    (bar,) = printed(runner, "tqdm")
    assert bar.startswith("100%")
    assert "500/500" in bar


def test_no_password_is_in_the_logs_of_the_stage_or_of_its_worker(runner: Runner, worker: Service) -> None:
    stages = "\n".join(printed(runner, "passwords"))
    workers = worker.log.read_text(encoding="utf-8")
    for told in ("http://me:***@host by a child: http://me:***@host", "redis://:***@host"):
        assert told in stages
        assert told in workers
    assert "hidden-1" not in stages + workers


def test_a_secret_by_its_name_reaches_the_stage_and_is_not_kept_among_the_parameters(runner: Runner) -> None:
    record = runner.run("with_key", api_key="hidden-2")
    assert nodes_of(record)["take_key"].value == len("hidden-2")
    assert record.parameters == {"api_key": "***"}
    assert Specification.read(runner.store, record.id).parameters == {"api_key": "***"}


def test_the_stream_is_what_libraries_expect(runner: Runner) -> None:
    first, second, *trace = printed(runner, "stream")
    assert first == "utf-8 backslashreplace False True"
    assert second == "caf\\udce9 \N{SNOWMAN}"
    assert any("print_oddly" in line for line in trace)


def test_a_stage_that_closes_its_stream_costs_no_later_stage_its_log(runner: Runner) -> None:
    record = runner.run("printing_again", how="closing")
    assert set(states_of(record).values()) == {"succeeded"}
    assert [line.text for line in lines_of(runner, record)][:2] == ["by print", "by buffer"]


def test_a_wide_line_is_cut_and_says_so(runner: Runner) -> None:
    assert printed(runner, "wide") == ["x" * 10_000 + " … 990000 more bytes of this line are not kept"]


def test_a_long_log_is_cut_and_still_says_how_the_attempt_failed(runner: Runner) -> None:
    lines = lines_of(runner, runner.run("printing", how="long"))
    assert len(lines) == 50_002
    assert lines[-2].text.startswith("the log is full: it holds 50,000 lines or 16 MB")
    assert "RuntimeError: too long" in lines[-1].text
