"""Runs that the store has and the index does not: of an earlier version, or whose line was lost."""

from __future__ import annotations

import pytest

from orchestrator.archive import index_repair
from orchestrator.archive.index_repair import complete_index
from orchestrator.archive.run_index import INDEX, read_index
from orchestrator.archive.tombstone import Tombstone
from orchestrator.artifacts import ArtifactStore
from tests.harness.stored_runs import WHEN, begin, complete, end, resume, run_id


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    return ArtifactStore("memory://" if request.param == "memory" else str(tmp_path))


def lose_index(store):
    for key in list(store.keys(INDEX)):
        store.remove(key)


def test_runs_of_an_earlier_version_are_entered_once(store, monkeypatch):
    monkeypatch.setattr(index_repair, "TOGETHER", 3)
    ended = {complete(store, run_id(number)) for number in range(7)}
    begin(store, run_id(8))
    lose_index(store)
    assert complete_index(store) == 7
    assert set(read_index(store)) == ended
    assert complete_index(store) == 0


def test_a_lost_end_of_a_later_round_is_entered(store):
    run = complete(store, run_id(1))
    lose_index(store)
    complete_index(store)
    resume(store, run)
    assert complete_index(store) == 0, "the run goes on"
    lines = dict.fromkeys(store.keys(INDEX))
    end(store, run, round=1)
    for key in set(store.keys(INDEX)) - set(lines):
        store.remove(key)
    assert complete_index(store) == 1
    assert read_index(store)[run].round == 1


def test_what_was_pruned_or_cannot_be_read_is_left_out(store):
    pruned, altered, whole = (complete(store, run_id(number)) for number in range(3))
    lose_index(store)
    Tombstone(run=pruned, pipeline="churn", pruned=WHEN, why="a test").write(store)
    store.write(f"runs/{altered}/record.json", b'{"id": ')
    assert complete_index(store) == 1
    assert set(read_index(store)) == {whole}


def test_it_can_be_stopped(store):
    for number in range(3):
        complete(store, run_id(number))
    lose_index(store)
    answers = iter([False, True])
    assert complete_index(store, lambda: next(answers)) == 1
    assert complete_index(store) == 2
