"""What came from a stage is shown, and never obeyed by the reader's terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.graph import Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.cli.messages import tell_error
from orchestrator.cli.summary import print_summary
from orchestrator.client.consoles import SafeConsole
from orchestrator.client.progress_tree import LiveProgress
from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId
from orchestrator.runs.record import AttemptRecord, Labels, NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState

START = datetime(2026, 1, 1, tzinfo=UTC)
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eback [bold]no markup[/bold] caf\udce9"
SHOWN = r"\x1b]0;owned"


def console(file: io.StringIO) -> SafeConsole:
    return SafeConsole(file=file, width=200, force_terminal=True, color_system=None, markup=False)


def record() -> RunRecord:
    attempt = AttemptRecord(number=1, worker=EVIL, started=START, ended=START, error=EVIL)
    node = NodeRecord(
        name="load", stage="shop.load", queue="data", state=NodeState.SUCCEEDED, started=START,
        ended=START + timedelta(seconds=1), attempts=(attempt,), value={"x": EVIL},
    )  # fmt: skip
    failed = replace(node, name="fit", state=NodeState.FAILED, value=None)
    return RunRecord(
        id=RunId("shop-1"), pipeline="shop", state=RunState.FAILED, parameters={"path": EVIL},
        started=START, ended=START, nodes=(node, failed), error=EVIL,
    )  # fmt: skip


GRAPH = Graph(
    "shop",
    tuple(
        Node(name=NodeName(name), stage=StageName(f"shop.{name}"), policy=Policy(), inputs={}, varying={})
        for name in ("load", "fit")
    ),
)


def assert_harmless(text: str) -> None:
    assert SHOWN in text
    assert not {"\x07", "\x9b", "\u202e", "\udce9"} & set(text)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text


def test_a_summary_shows_values_parameters_and_errors_as_text() -> None:
    print_summary(console(file := io.StringIO()), record(), GRAPH)
    text = file.getvalue()
    assert_harmless(text)
    assert "\x1b" not in text
    assert "[bold]no markup[/bold]" in text


def test_what_is_escaped_is_not_cut_off() -> None:
    long = replace(
        record(), parameters={"x": "\x1b" * 20 + "end"}, labels=Labels(tags={"t": "\x1b" * 20 + "end"})
    )
    print_summary(console(file := io.StringIO()), long, GRAPH)
    assert file.getvalue().count(r"\x1bend") == 2


def test_live_progress_shows_them_as_text_and_still_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb terminal has no cursor to move
    progress = LiveProgress(console(file := io.StringIO()), GRAPH)
    with progress:
        progress.update(record(), [])
        progress.say(EVIL)
    assert_harmless(file.getvalue())
    assert "\x1b[" in file.getvalue()


def test_tables_and_lines_of_logs_are_shown_as_text() -> None:
    table = Table()
    table.add_row(Text(EVIL), EVIL)
    shown = console(file := io.StringIO())
    shown.print(table)
    shown.print(Text.assemble(("a", "red"), EVIL), soft_wrap=True)
    shown.print(f"one\ntwo\tthree {SHOWN}")
    assert_harmless(file.getvalue())
    assert "\x1b" not in file.getvalue()
    assert "one\ntwo" in file.getvalue()


def test_a_folder_that_may_not_be_written_to_has_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_error(PermissionError(13, "Permission denied", "/srv/home")) == 2
    assert "ORCHESTRATOR_HOME" in capsys.readouterr().err


def test_errors_of_a_command_are_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    tell_error(OrchestratorError(EVIL, hint=EVIL))
    assert_harmless(capsys.readouterr().err)
