"""Any graph runs each node exactly once, after all it needs and soon after, however its messages arrive."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from uuid import uuid4

import pytest
import redis

from orchestrator.authoring.graph import Graph
from orchestrator.runs.record import RunRecord
from tests.harness.runner import Runner, nodes_of, states_of

pytestmark = pytest.mark.stack


@contextmanager
def meddling(client: redis.Redis, queue: str, seed: int) -> Iterator[None]:
    """Inside the block, messages in the queue change places, and some are delivered twice."""
    chance, stop = random.Random(seed), threading.Event()

    def meddle() -> None:
        while not stop.wait(0.002):
            client.lmove(queue, queue, "RIGHT", "LEFT")
            text = client.lindex(queue, -1)
            # No more than a busy machine can keep up with
            if text and chance.random() < 0.3 and client.llen(queue) < 30:
                message = json.loads(text)
                message["properties"]["delivery_tag"] = str(uuid4())
                client.lpush(queue, json.dumps(message))

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def check(graph: Graph, record: RunRecord) -> list[float]:
    """Fail unless each node ran once and after its needs; returns how late each started, in seconds."""
    nodes = nodes_of(record)
    assert set(states_of(record).values()) == {"succeeded"}
    assert all(len(node.attempts) == 1 for node in record.nodes)
    late = []
    for node in graph:
        needed = [nodes[need].ended for need in node.needs if need in nodes]
        if node.name in nodes and needed:
            started = nodes[node.name].started
            assert started is not None
            waits = [(started - ended).total_seconds() for ended in needed if ended]
            assert min(waits) >= 0
            late.append(min(waits))
    return late


@pytest.mark.parametrize("seed", range(8))
def test_small_graphs(runner: Runner, seed: int) -> None:
    graph = runner.prepare("random_dag", seed=seed).graph
    late = check(graph, runner.run("random_dag", seed=seed))
    assert median(late) < 0.3


@pytest.mark.parametrize(("seed", "share"), [(101, 0.05), (102, 0.1), (103, 0.3)])
def test_graphs_of_sixty_nodes_with_maps_in_them(runner: Runner, seed: int, share: float) -> None:
    given = {"seed": seed, "nodes": 60, "share": share}
    check(runner.prepare("random_dag", **given).graph, runner.run("random_dag", **given))


@pytest.mark.parametrize("seed", range(201, 207))
def test_messages_may_come_in_any_order_and_twice(runner: Runner, client: redis.Redis, seed: int) -> None:
    given = {"seed": seed, "nodes": 30, "share": 0.15}
    with meddling(client, "data", seed):
        check(runner.prepare("random_dag", **given).graph, runner.run("random_dag", **given))
