"""How runs are drawn and written: the tree, the table, the words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.authoring.graph import JSON, Constant, Graph, Node, NodeName, Output, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.authoring.progress import Progress
from orchestrator.cli.summary import print_summary
from orchestrator.client import progress_lines
from orchestrator.client.formatting import (
    as_line,
    data_size,
    duration,
    plain,
    progress_in_words,
    without_runtime,
)
from orchestrator.client.groups import grouped
from orchestrator.client.program import program
from orchestrator.client.progress_lines import PlainProgress
from orchestrator.client.progress_tree import LiveProgress, outline
from orchestrator.run_id import RunId
from orchestrator.runs.record import AttemptRecord, NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState

START = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A command line that is called by its name."""
    (tmp_path / "orchestrator").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    program.cache_clear()
    yield
    program.cache_clear()


def node(name: str, *needs: str, items: int = 0) -> Node:
    inputs = {f"from_{need}": Output(NodeName(need)) for need in needs}
    varying = {"each": Constant(list(range(items)))} if items else {}
    stage = StageName(f"shop.{name}")
    return Node(name=NodeName(name), stage=stage, policy=Policy(), inputs=inputs, varying=varying)


def done(name: str, state: NodeState, seconds: float = 1.0, error: str | None = None) -> NodeRecord:
    ended = START + timedelta(seconds=seconds)
    attempt = AttemptRecord(number=1, worker="data@host", started=START, ended=ended, error=error)
    return NodeRecord(
        name=name, stage="shop.x", queue="data", state=state, started=START, ended=ended, attempts=(attempt,)
    )


def waiting(name: str) -> NodeRecord:
    return NodeRecord(name=name, stage="shop.x", queue="data", state=NodeState.WAITING)


def run_of(nodes: Sequence[NodeRecord], state: RunState = RunState.RUNNING) -> RunRecord:
    return RunRecord(
        id=RunId("shop-1"), pipeline="shop", state=state, started=START, ended=START, nodes=tuple(nodes)
    )


def drawn(graph: Graph, record: RunRecord, *, width: int = 80, height: int = 40) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, record=True)
    live = LiveProgress(console, graph)
    live.update(record, [])
    with console.capture() as captured:
        console.print(live._draw())
    return captured.get().splitlines()


DIAMOND = Graph(
    "shop", (node("load"), node("left", "load"), node("right", "load"), node("join", "left", "right"))
)

DIAMOND_REST = ("left", "right", "join")


def test_what_runs_side_by_side_branches_off() -> None:
    assert [line.lead + line.node for line in outline(DIAMOND)] == ["load", "├─ left", "└─ right", "join"]


def test_a_map_is_one_line_with_counts_and_no_line_is_wider_than_the_screen() -> None:
    graph = Graph("shop", (node("fit", items=4), node("best", "fit")))
    states = [NodeState.SUCCEEDED, NodeState.RUNNING, NodeState.RUNNING, NodeState.FAILED]
    items = [done(f"fit[{at}]", state) for at, state in enumerate(states)]
    lines = drawn(graph, run_of([*items, waiting("best")]), width=60)
    assert any("fit" in line and "1/4 done, 2 running, 1 failed" in line for line in lines)
    assert not any("fit[" in line for line in lines)
    assert max(map(len, lines)) <= 60


def looping(progress: Progress, name: str = "load") -> NodeRecord:
    return replace(done(name, NodeState.RUNNING), progress=progress)


def test_a_node_is_drawn_with_how_far_it_has_come() -> None:
    record = run_of([looping(Progress(done=12, total=30, seconds=6.0)), *map(waiting, DIAMOND_REST)])
    assert any("load" in line and "40 % 12/30 · 9 s left" in line for line in drawn(DIAMOND, record))
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        print_summary(console, record, DIAMOND)
    assert "running 40 % 12/30 · 9 s left" in captured.get()


def test_an_item_of_a_map_is_drawn_in_its_count_only() -> None:
    items = [looping(Progress(done=1, total=2), "fit[0]"), waiting("fit[1]")]
    lines = drawn(Graph("shop", (node("fit", items=2),)), run_of(items))
    assert any("0/2 done, 1 running" in line for line in lines)
    assert not any("1/2" in line for line in lines)


def test_plain_lines_tell_how_far_a_node_has_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, color_system=None)
    lines = PlainProgress(console, DIAMOND)

    def told(done: int) -> str:
        with console.capture() as captured:
            lines.update(run_of([looping(Progress(done=done, total=4)), *map(waiting, DIAMOND_REST)]), [])
        return captured.get()

    assert told(1).rstrip().endswith("load   running    25 % 1/4")
    assert told(2) == ""
    monkeypatch.setattr(progress_lines, "PROGRESS_EVERY", 0.0)
    assert "75 % 3/4" in told(3)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(done=0, total=30), "0 % 0/30"),
        (Progress(done=12, total=30, description="training", seconds=6.0), "training: 40 % 12/30 · 9 s left"),
        (Progress(done=1, total=101, seconds=1.2), "0 % 1/101 · 2 min 00 s left"),
        (Progress(done=30, total=30, seconds=6.0), "100 % 30/30"),
        (Progress(done=31, total=30, seconds=6.0), "31/30"),
        (Progress(done=0, total=0), "0/0"),
        (Progress(done=1200, seconds=6.0), "1200 done"),
        (Progress(done=1, description="x" * 100), "x" * 23 + "…: 1 done"),
    ],
)
def test_progress_is_written_in_a_few_words(progress: Progress, words: str) -> None:
    assert progress_in_words(progress) == words


def test_a_graph_taller_than_the_screen_folds_what_is_quiet() -> None:
    names = [f"n{at}" for at in range(50)]
    graph = Graph("shop", tuple(node(name, *names[at - 1 : at]) for at, name in enumerate(names)))
    states = [NodeState.SUCCEEDED] * 20 + [NodeState.RUNNING]
    records = [*map(done, names, states), *map(waiting, names[21:])]
    lines = drawn(graph, run_of(records), height=20)
    assert len(lines) < 20
    assert lines[2].split()[1:] == ["20", "succeeded"]
    assert any("n20" in line for line in lines)
    assert "29 waiting" in lines[-1]


def test_the_summary_folds_maps_and_says_where_to_look() -> None:
    graph = Graph("shop", (node("fit", items=3), node("best", "fit")))
    items = [done("fit[0]", NodeState.SUCCEEDED, 1), done("fit[1]", NodeState.SUCCEEDED, 3)]
    failed = done("fit[2]", NodeState.FAILED, 2, error="ValueError: no\nmore")
    record = run_of([*items, failed, waiting("best")], RunState.FAILED)
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        print_summary(console, record, graph, mlflow=["run 1"])
    text = captured.get()
    assert "✗ fit ×3" in text
    assert "(1.0 s – 3.0 s, median 2.0 s)" in text
    assert "orchestrator logs shop-1 'fit[2]'" in text
    assert max(map(len, text.splitlines())) <= 80


def test_groups_know_their_items() -> None:
    groups = grouped(
        [done("fit[0]", NodeState.SUCCEEDED), waiting("fit[1]"), done("best", NodeState.RUNNING)]
    )
    assert list(groups) == ["fit", "best"]
    assert groups["fit"].state is NodeState.RUNNING
    assert groups["fit"].progress == "1/2 done"
    assert not groups["best"].mapped


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0351, "35 ms"),
        (0.1, "0.1 s"),
        (1.24, "1.2 s"),
        (59.99, "1 min 00 s"),
        (125, "2 min 05 s"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (999_600, "1.0 MB"), (4_500_000_000, "4.5 GB")],
)
def test_sizes_are_rounded_to_a_readable_unit(count: int, text: str) -> None:
    assert data_size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.98664, "0.9866"),
        (656.11, "656.1"),
        (170000.0, "170000"),
        (-1234567.8, "-1234568"),
        (0.00012, "0.00012"),
        (6e23, "6e+23"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_four_digits_or_are_whole(value: float, text: str) -> None:
    assert plain(value) == text


def test_values_are_written_without_their_braces() -> None:
    verdict: JSON = {"passed": True, "score": 0.98661, "champion": None, "by": {"f1": 0.5}}
    assert plain(verdict) == "passed yes, score 0.9866, champion none, by {f1 0.5}"


def test_a_setting_that_is_none_is_shown() -> None:
    settings: JSON = {"max_depth": None, "max_features": 0.3}
    assert plain(settings) == "max_depth none, max_features 0.3"


def test_json_is_strict_about_numbers() -> None:
    assert json.loads(as_line({"a": [float("nan"), 1.5]})) == {"a": [None, 1.5]}


def test_a_traceback_loses_the_frames_of_the_runtime_only() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/x/workers/runtime/execute.py", line 9, in failed\n'
        "    return attempt.run()\n"
        "           ^^^^^^^^^^^^^\n"
        '  File "/home/me/shop.py", line 3, in pay\n'
        "    raise ValueError\n"
        "ValueError"
    )
    assert without_runtime(trace).splitlines()[1:] == trace.splitlines()[4:]
    own = trace.replace("/home/me/shop.py", "/x/workers/runtime/inputs.py")
    assert without_runtime(own) == own
