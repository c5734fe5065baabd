"""The index of runs: a projection that may be lost, doubled or cut short without harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.archive.run_index import (
    ENTRIES,
    FEW_ENTRIES,
    SEGMENTS,
    RunSummary,
    add_to_index,
    drop_from_index,
    merge,
    read_index,
)
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from orchestrator.runs.record import Labels, RunRecord
from orchestrator.runs.states import RunState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    return ArtifactStore("memory://" if request.param == "memory" else str(tmp_path))


def record(number, *, state=RunState.SUCCEEDED, round=0, **others):
    return RunRecord(
        id=RunId(f"p-20260301-120000-{number:04x}"),
        pipeline="p",
        state=state,
        round=round,
        submitted=NOW + timedelta(seconds=number),
        **others,
    )


def keys(store):
    return list(store.keys(ENTRIES)), list(store.keys(SEGMENTS))


def test_an_end_is_found_as_it_was_entered(store):
    labels = Labels(name="n", tags={"team": "risk"}, note="so")
    add_to_index(store, record(1, error="one\ntwo", labels=labels))
    (found,) = read_index(store).values()
    assert found == RunSummary.of(record(1, error="one", labels=labels))


def test_of_one_run_the_latest_round_counts_wherever_it_stands(store):
    add_to_index(store, record(1, state=RunState.FAILED))
    merge(store, least=1)
    add_to_index(store, record(1, round=1))
    assert [each.state for each in read_index(store).values()] == [RunState.SUCCEEDED]
    merge(store, least=1)
    add_to_index(store, record(1, state=RunState.FAILED))  # of a process that was paused
    assert [each.state for each in read_index(store).values()] == [RunState.SUCCEEDED]


def test_what_is_merged_while_the_index_is_read_is_found(store):
    add_to_index(store, record(1))
    with pytest.MonkeyPatch.context() as patch:

        def merged_before(key):
            patch.undo()
            merge(store, least=1)
            return store.read(key)

        patch.setattr(store, "read", merged_before)
        assert list(read_index(store)) == [record(1).id]


def test_an_entry_goes_before_the_segment_with_the_same_round(store):
    add_to_index(store, record(1, state=RunState.FAILED))
    merge(store, least=1)
    add_to_index(store, record(1, state=RunState.CANCELLED))
    assert [each.state for each in read_index(store).values()] == [RunState.CANCELLED]


def test_entries_become_segments_and_segments_one(store):
    for number in range(FEW_ENTRIES * 20):
        add_to_index(store, record(number))
    entries, segments = keys(store)
    assert len(entries) + len(segments) < FEW_ENTRIES * 4
    assert len(read_index(store)) == FEW_ENTRIES * 20
    for number in range(40):
        add_to_index(store, record(number, round=1, state=RunState.FAILED))
        merge(store, least=1)
    assert len(keys(store)[1]) <= 16
    failed = [each for each in read_index(store).values() if each.state is RunState.FAILED]
    assert len(failed) == 40


def test_a_process_that_dies_while_it_merges_loses_nothing(store):
    for number in range(8):
        add_to_index(store, record(number))
    steps = 0
    while True:
        done = 0

        class Dies(Exception):
            pass

        def step(then, *arguments, **options):
            nonlocal done
            if done == steps:  # noqa: B023 - called within this turn of the loop
                raise Dies
            done += 1
            return then(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            for name in ("create", "remove"):
                before = getattr(store, name)
                patch.setattr(store, name, lambda *a, then=before, **o: step(then, *a, **o))
            try:
                merge(store, least=1)
            except Dies:
                assert len(read_index(store)) == 8
                steps += 1
                continue
        break
    assert steps > 2
    assert len(read_index(store)) == 8


def test_what_cannot_be_read_is_left_out(store, caplog):
    add_to_index(store, record(1))
    store.write(f"{SEGMENTS}/torn.jsonl", b'{"id": "p-2')
    store.write(f"{ENTRIES}/other.json", b'{"id": "p"}\n[1]')
    assert list(read_index(store)) == [record(1).id]
    assert "cannot be read" in caplog.text


def test_lines_of_runs_that_are_gone_are_dropped_wherever_they_stand(store):
    for number in range(3):
        add_to_index(store, record(number))
    merge(store, least=1)
    for number in range(3, 5):
        add_to_index(store, record(number))
    drop_from_index(store, {record(number).id for number in (0, 2, 3, 9)})
    assert set(read_index(store)) == {record(1).id, record(4).id}
    assert [len(each) for each in keys(store)] == [1, 1]
    drop_from_index(store, {record(1).id})
    assert [len(each) for each in keys(store)] == [1, 0]
