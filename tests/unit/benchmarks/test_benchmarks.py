"""The benchmarks still run, and what they are made of is what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.graphs import SleepingGraph, random_graph
from benchmarks.interleaving import duel
from benchmarks.report import table
from benchmarks.row import Row
from benchmarks.stages import maze

ROOT = Path(__file__).parents[3]


def test_the_two_contenders_run_in_turn_and_only_the_rounds_behind_the_warm_up_count():
    order: list[str] = []

    def contender(name: str, seconds: float) -> float:
        order.append(name)
        return seconds * len(order)

    found = duel(lambda: contender("ours", 1.0), lambda: contender("raw", 1.0), rounds=2, warm_up=1)
    assert order == ["ours", "raw", "raw", "ours", "ours", "raw"]
    assert found.ours == [4.0, 5.0]
    assert found.baseline == [3.0, 6.0]
    assert found.ratio == 1.0


def test_a_graph_with_an_n_is_not_series_parallel():
    n_shape = SleepingGraph([1.0] * 4, [(), (), (0,), (0, 1)])
    diamond = SleepingGraph([1.0] * 4, [(), (0,), (0,), (1, 2)])
    assert not n_shape.series_parallel
    assert diamond.series_parallel


def test_the_critical_path_is_the_longest_one():
    graph = SleepingGraph([1.0, 5.0, 2.0, 1.0], [(), (), (0,), (1, 2)])
    assert graph.critical_path == 6.0
    assert graph.width == 2


@pytest.mark.parametrize("seed", range(20))
def test_a_random_graph_is_the_pipeline_that_sleeps_it(seed: int):
    graph = random_graph(seed)
    nodes = list(maze.graph(seed=seed))
    numbers = {node.name: number for number, node in enumerate(nodes)}
    assert [sorted(numbers[need] for need in node.needs) for node in nodes] == [*map(list, graph.needs)]
    assert not graph.series_parallel


def test_a_missed_row_says_so():
    row = Row(
        name="hop", what="a chain", ours="2 s", baseline="1 s", ratio="2×", target="≤ 1.3×", reached=False
    )
    assert table([row]).splitlines()[-1] == "| hop | a chain | 2 s | 1 s | 2× | ≤ 1.3× | missed |"


@pytest.mark.slow
def test_a_row_can_be_taken_alone_and_quickly():
    command = [sys.executable, "-m", "benchmarks", "hop", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "| hop | chain of 20 empty stages" in done.stdout


def test_a_row_that_there_is_not_is_refused():
    command = [sys.executable, "-m", "benchmarks", "hopp"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "there is no row 'hopp'; there are hop, fan-out" in done.stderr
