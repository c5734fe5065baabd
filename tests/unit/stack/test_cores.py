"""How many cores there are for stages, and how their libraries share them."""

from __future__ import annotations

import os

import pytest

from orchestrator.stack import environment
from orchestrator.stack.environment import thread_variables
from orchestrator.stack.slots import usable_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, ALL),
        ({"cpu.max": "max 100000\n"}, ALL),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "99900000 100000\n"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_cores_are_those_that_the_control_group_leaves(tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_cores_are_those_that_this_process_is_bound_to(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("machine", "cores", "slots", "threads"),
    [
        (8, 8, {"training": 4}, "2"),
        (8, 8, {"data": 2, "training": 8}, "1"),
        (2, 2, {"training": 5}, "1"),
        (8, 8, {"training": 1}, None),
        (64, 2, {"training": 1}, "2"),
    ],
)
def test_processes_times_threads_are_the_cores(monkeypatch, machine, cores, slots, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    monkeypatch.setattr(environment, "usable_cores", lambda: cores)
    assert thread_variables(slots).get("OMP_NUM_THREADS") == threads


def test_threads_stay_as_the_user_has_set_them(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in thread_variables({"training": 10**6})
