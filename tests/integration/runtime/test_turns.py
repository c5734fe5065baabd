"""One delivery runs the nodes that follow as well, each a task of its own to everybody who looks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.archive.specification import Specification
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.canvas import Canvas
from orchestrator.messaging.app import app
from orchestrator.run_id import RunId
from orchestrator.runs.record import NodeRecord
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.waiting import wait_until
from workers.runtime.turn import NODES

pytestmark = pytest.mark.stack


def calls(folder: Path) -> Counter[str]:
    """How often each step was called."""
    return Counter(path.name.rpartition("-")[0] for path in folder.iterdir())


def canvas_of(runner: Runner, run: RunId) -> Canvas:
    return Canvas(app, arrange(Specification.read(runner.store, run).graph), run)


def messages_sent(runner: Runner) -> int:
    """How many messages were put into queues since Redis has started."""
    found = runner.runs.client.info("commandstats").get("cmdstat_lpush", {"calls": 0})
    return int(found["calls"])


def processes(nodes: Mapping[str, NodeRecord]) -> set[object]:
    return {node.value for node in nodes.values()}


@contextmanager
def task_events() -> Iterator[list[dict[str, object]]]:
    """Collect the events of tasks, as Flower does."""
    found: list[dict[str, object]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": found.append})
        thread = threading.Thread(target=receiver.capture, kwargs={"wakeup": False}, daemon=True)
        thread.start()
        with app.connection_for_write() as to, app.events.Dispatcher(to) as dispatcher:
            wait_until(lambda: dispatcher.send("probe") or found, "events arrive")
        try:
            yield found
        finally:
            receiver.should_stop = True
            thread.join(10)


def test_a_chain_runs_in_one_process(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("turn", folder=str(tmp_path), length=12)
    nodes = nodes_of(record)
    assert set(states_of(record).values()) == {"succeeded"}
    assert len(processes(nodes)) == 1
    assert [len(node.attempts) for node in nodes.values()] == [1] * 12
    ends = [node.ended for node in nodes.values() if node.ended]
    assert ends == sorted(ends)


def test_a_chain_longer_than_a_turn_runs_to_its_end(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("turn", folder=str(tmp_path), length=2 * NODES + 3)
    assert set(states_of(record).values()) == {"succeeded"}
    assert set(calls(tmp_path).values()) == {1}


def test_a_turn_goes_on_while_no_message_waits(runner: Runner, tmp_path: Path) -> None:
    def messages_for(length: int) -> int:
        (folder := tmp_path / str(length)).mkdir()
        before = messages_sent(runner)
        runner.run("slow_line", folder=str(folder), length=length, seconds=0.2)
        return messages_sent(runner) - before

    assert messages_for(7) == messages_for(1)  # of 1.4 s


def test_a_node_of_the_default_priority_continues_one_without_a_priority(
    runner: Runner, tmp_path: Path
) -> None:
    before = messages_sent(runner)
    runner.run("slow_line", folder=str(tmp_path), length=3, seconds=0.0)
    between = messages_sent(runner)
    runner.run("of_one_level", folder=str(tmp_path))
    assert messages_sent(runner) - between == between - before


def test_a_stage_that_changes_its_argument_reaches_no_other(runner: Runner) -> None:
    nodes = nodes_of(runner.run("growing"))
    assert [node.value for node in nodes.values()] == [[0], [0, 1], [0, 1, 2], [0, 1]]


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_process_that_dies_in_a_turn_costs_only_the_node_it_was_in(
    runner: Runner, tmp_path: Path, at: int
) -> None:
    record = runner.run("turn", folder=str(tmp_path), length=6, middle="die_once", at=at)
    assert set(states_of(record).values()) == {"succeeded"}
    assert calls(tmp_path) == Counter({str(number): 2 if number == at else 1 for number in range(6)})
    attempts = nodes_of(record)["die_once"].attempts
    assert [bool(attempt.error) for attempt in attempts] == [True, False]


def test_a_node_in_a_turn_is_tried_again_by_its_policy(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("turn", folder=str(tmp_path), length=5, middle="fail_twice", at=2)
    assert set(states_of(record).values()) == {"succeeded"}
    assert calls(tmp_path) == Counter({"0": 1, "1": 1, "2": 3, "3": 1, "4": 1})
    assert [attempt.error for attempt in nodes_of(record)["fail_twice"].attempts] == [
        "OSError: not yet",
        "OSError: not yet",
        None,
    ]


def test_a_node_that_fails_in_a_turn_ends_it(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("turn", folder=str(tmp_path), length=4, middle="refuse", at=2)
    assert states_of(record) == {
        "step": "succeeded",
        "step-2": "succeeded",
        "refuse": "failed",
        "step-3": "upstream_failed",
    }
    assert record.error == "refuse: ValueError: no"


def test_branches_run_side_by_side_and_are_joined_once(runner: Runner, tmp_path: Path) -> None:
    record = runner.run("forked", folder=str(tmp_path), branches=3, seconds=0.4)
    assert set(states_of(record).values()) == {"succeeded"}
    assert set(calls(tmp_path).values()) == {1}
    assert nodes_of(record)["together"].value == 3
    assert record.started is not None
    assert record.ended is not None
    assert (record.ended - record.started).total_seconds() < 1.0, "three slots, 0.4 s each"


def test_each_node_of_a_turn_is_a_task_of_its_own_in_flower(runner: Runner, tmp_path: Path) -> None:
    with task_events() as events:
        run = runner.submit("turn", folder=str(tmp_path), length=4, middle="refuse", at=3)
        canvas = canvas_of(runner, run)
        wait_until(lambda: [e for e in events if e["type"] == "task-failed"], "the failure is told", 20)
    by_task: dict[object, list[object]] = {}
    for event in events:
        by_task.setdefault(event.get("uuid"), []).append(event["type"])
    for name in ("step", "step-2", "step-3"):
        assert by_task[canvas.task_id(name)] == ["task-received", "task-started", "task-succeeded"]
    assert by_task[canvas.task_id("refuse")] == ["task-received", "task-started", "task-failed"]
    (failure,) = [event for event in events if event["type"] == "task-failed"]
    assert failure["exception"] == "ValueError: no"
    times = [str(event["timestamp"]) for event in events if event["type"] == "task-succeeded"]
    assert times == sorted(times)


def test_inspect_shows_the_node_that_runs_and_revoke_ends_it(runner: Runner, tmp_path: Path) -> None:
    run = runner.submit("held", folder=str(tmp_path))
    wait_until(lambda: (tmp_path / "second-0").exists(), "the second node runs")
    task = canvas_of(runner, run).task_id("wait_for")
    wait_until(lambda: task in active(), "inspect shows it", 10)
    assert active()[task]["kwargs"] == {"run": run, "node": "wait_for"}
    app.control.revoke(task, terminate=True, signal="SIGKILL")
    wait_until(lambda: task not in active(), "it has ended", 10)
    runner.runs.cancel(run)
    (tmp_path / "go").touch()
    assert not (tmp_path / "third-0").exists()


def active() -> dict[str, dict[str, object]]:
    """The tasks at work by their ids, as `celery inspect active` shows them."""
    replies = app.control.inspect(destination=["all@test"], timeout=2.0).active() or {}
    return {task["id"]: task for tasks in replies.values() for task in tasks}
