"""What is pruned and what is not, on every kind of store, and what is left if it is killed at any step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.archive.outbox import outboxes
from orchestrator.archive.run_record import read_final, stored_runs
from orchestrator.archive.specification import Specification
from orchestrator.archive.tombstone import is_being_pruned, is_pruned
from orchestrator.artifacts import (
    ArtifactStore,
    Digest,
    MissingArtifact,
    StoredObject,
    StoreError,
    StoreUnavailable,
)
from orchestrator.artifacts.digest import digest_of_bytes
from orchestrator.lifecycle import prune as module
from orchestrator.lifecycle.prune import Pruned, prune
from orchestrator.lifecycle.retention import ABANDONED, Retention
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from tests.harness.stored_runs import (
    begin,
    complete,
    end,
    files_of,
    keep_result,
    log_model,
    resume,
    run_id,
    sizes,
    texts,
)

DAY = 86_400.0
MONTH = Retention(older_than=30 * DAY, why="older than 30d")
NEWEST = Retention(keep_last=1, why="not among the newest 1")


def prune_later(
    store: ArtifactStore, retention: Retention = MONTH, *, days: float = 100, dry_run: bool = False
) -> Pruned:
    """Prune as if so many days had passed since all was written."""
    return prune(store, retention, [], now=time.time() + days * DAY, dry_run=dry_run)


def first_do(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], None]) -> None:
    """Do something right before a step of a prune, as another process would."""
    call = getattr(module, step)

    def acting(*given: object, **named: object) -> object:
        act()
        return call(*given, **named)

    monkeypatch.setattr(module, step, acting)


# What goes


def test_an_old_run_goes_with_its_files_and_its_blobs(any_store: ArtifactStore) -> None:
    old = complete(any_store, run_id(1), fit="a model")
    pruned = prune_later(any_store)
    assert list(pruned.runs) == [old]
    assert not list(files_of(any_store, old))
    assert texts(any_store) == set()
    assert pruned.blobs == 2


def test_a_run_that_is_not_old_stays(any_store: ArtifactStore) -> None:
    young = complete(any_store, run_id(1), fit="a model")
    assert not prune_later(any_store, days=29).runs
    assert read_final(any_store, young) is not None
    assert texts(any_store) == {"a model", f"an item of {young}"}


def test_the_newest_runs_of_each_pipeline_stay(any_store: ArtifactStore) -> None:
    old, new = complete(any_store, run_id(1)), complete(any_store, run_id(2))
    other = complete(any_store, run_id(0, "digits"))
    assert list(prune_later(any_store, NEWEST).runs) == [old]
    assert set(stored_runs(any_store)) == {new, other}


def test_a_run_has_to_exceed_both_limits(any_store: ArtifactStore) -> None:
    old, new = complete(any_store, run_id(1)), complete(any_store, run_id(2))
    both = Retention(older_than=30 * DAY, keep_last=1)
    assert not prune_later(any_store, both, days=20).runs
    assert list(prune_later(any_store, both, days=40).runs) == [old]
    assert stored_runs(any_store) == [new]


def test_a_blob_that_another_run_refers_to_stays(any_store: ArtifactStore) -> None:
    complete(any_store, run_id(1), fit="shared", split="own")
    new = complete(any_store, run_id(2), load="shared")
    prune_later(any_store, NEWEST)
    assert texts(any_store) == {"shared", f"an item of {new}"}


def test_a_reference_in_a_file_of_unknown_form_keeps_its_blob(any_store: ArtifactStore) -> None:
    digest = any_store.put(b"precious")
    any_store.write("endpoints/churn/profile.toml", f'blob = "{digest}"'.encode())
    any_store.write("runs/odd/nodes/fit.json.unreadable", b'{"output": {"digest": "' + digest.encode())
    prune_later(any_store, NEWEST)
    assert texts(any_store) == {"precious"}


def test_a_blob_without_any_run_goes(any_store: ArtifactStore) -> None:
    any_store.put(b"of a killed attempt")
    assert prune_later(any_store).blobs == 1
    assert texts(any_store) == set()


def test_a_young_blob_stays_and_is_counted(any_store: ArtifactStore) -> None:
    any_store.put(b"just written")
    pruned = prune(any_store, MONTH, [], now=time.time())
    assert (pruned.blobs, pruned.kept_blobs, pruned.kept_bytes) == (0, 1, len(b"just written"))
    assert texts(any_store) == {"just written"}


def test_a_dry_run_tells_what_the_real_one_frees(any_store: ArtifactStore) -> None:
    for number in range(1, 4):
        complete(any_store, run_id(number), fit=f"model {number}", load="shared")
    before = sizes(any_store)
    told = prune_later(any_store, NEWEST, dry_run=True)
    assert sizes(any_store) == before
    assert prune_later(any_store, NEWEST) == told
    left = {key: size for key, size in sizes(any_store).items() if not key.startswith("pruned/")}
    assert sum(before.values()) - sum(left.values()) == told.size
    assert len(told.runs) == 2


# What stays


def test_a_run_without_an_end_stays_for_a_week_at_least(any_store: ArtifactStore) -> None:
    going = begin(any_store, run_id(1), fit="half a run")
    minutes = Retention(older_than=60.0)
    assert not prune_later(any_store, minutes, days=6.9).runs
    assert texts(any_store) == {"half a run"}
    assert list(prune_later(any_store, minutes, days=ABANDONED / DAY + 0.1).runs) == [going]


def test_a_resumed_run_stays(any_store: ArtifactStore) -> None:
    run = complete(any_store, run_id(1), fit="a model")
    resume(any_store, run)
    minutes = Retention(older_than=60.0)
    assert not prune_later(any_store, minutes, days=6).runs
    end(any_store, run, round=1)
    assert list(prune_later(any_store, minutes, days=6).runs) == [run]


def test_a_run_that_mlflow_may_not_know_stays(any_store: ArtifactStore) -> None:
    run = begin(any_store, run_id(1), fit="a model")
    end(any_store, run, concluded=False)
    assert not prune_later(any_store).runs
    end(any_store, run)
    assert list(prune_later(any_store).runs) == [run]


def test_a_run_with_a_model_for_mlflow_stays_with_the_model(any_store: ArtifactStore) -> None:
    run = complete(any_store, run_id(1))
    outbox = log_model(any_store, run, "an undelivered model")
    assert not prune_later(any_store).runs
    assert "an undelivered model" in texts(any_store)
    outbox.remove(any_store)
    assert list(prune_later(any_store).runs) == [run]
    assert not outboxes(any_store, run)


def test_what_a_going_run_may_be_about_to_name_stays(any_store: ArtifactStore) -> None:
    any_store.put(b"of an attempt that has no manifest yet")
    begin(any_store, run_id(1))
    pruned = prune_later(any_store, days=6)
    assert (pruned.blobs, pruned.kept_blobs) == (0, 1)


# Cached results


def test_a_cached_result_goes_with_the_run_that_made_it(any_store: ArtifactStore) -> None:
    key = keep_result(any_store, complete(any_store, run_id(1)), "cached")
    prune_later(any_store)
    assert any_store.read(key) is None
    assert texts(any_store) == set()


def test_a_cached_result_stays_with_the_run_that_used_it_last(any_store: ArtifactStore) -> None:
    user = complete(any_store, run_id(2))
    key = keep_result(any_store, complete(any_store, run_id(1)), "cached", used=user)
    prune_later(any_store, NEWEST)
    assert any_store.read(key) is not None
    assert "cached" in texts(any_store)


def test_a_cached_result_does_not_outlive_its_runs_as_a_reference(any_store: ArtifactStore) -> None:
    """Its dry run tells the same."""
    keep_result(any_store, complete(any_store, run_id(1)), "cached")
    assert prune_later(any_store, dry_run=True).blobs == prune_later(any_store).blobs == 2


def test_a_note_of_a_column_goes_with_its_blob(any_store: ArtifactStore) -> None:
    gone, stays = any_store.put(b"gone"), any_store.put(b"stays")
    begin(any_store, run_id(1), fit="stays")
    end(any_store, run_id(1))
    for name, digest in (("aa", gone), ("bb", stays)):
        any_store.write(f"columns/{name}/{name}.json", f'{{"digest": "{digest}", "size": 4}}'.encode())
    prune_later(any_store, NEWEST)
    assert list(any_store.keys("columns")) == ["columns/bb/bb.json"]


# What is told of a pruned run


def test_a_pruned_run_is_told_with_date_and_reason(any_store: ArtifactStore) -> None:
    run = complete(any_store, run_id(1))
    prune_later(any_store)
    with pytest.raises(
        UnknownRun, match=rf"^run '{run}' was pruned on 20\d\d-.* \(older than 30d\)$"
    ) as caught:
        Specification.read(any_store, run)
    assert caught.value.hint == "what MLflow has of it is still there"
    assert stored_runs(any_store) == []


def test_the_id_of_a_pruned_run_is_not_used_again(any_store: ArtifactStore) -> None:
    specification = Specification.read(any_store, complete(any_store, run_id(1)))
    prune_later(any_store)
    assert not specification.write(any_store)
    assert stored_runs(any_store) == []


def test_what_a_late_attempt_writes_for_a_pruned_run_goes_next_time(any_store: ArtifactStore) -> None:
    run = complete(any_store, run_id(1))
    prune_later(any_store)
    any_store.write(f"runs/{run}/logs/fit/2.jsonl", b"[]")
    assert stored_runs(any_store) == []
    prune_later(any_store)
    assert not list(files_of(any_store, run))


def test_a_resumption_that_began_first_is_not_pruned(
    any_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its round is stored between the look that chose the run and the intent."""
    run = complete(any_store, run_id(1), fit="a model")
    first_do(monkeypatch, "list_run", lambda: resume(any_store, run))
    soon = Retention(older_than=60.0)
    assert not prune(any_store, soon, [], now=time.time() + 2 * DAY).runs
    assert not is_pruned(any_store, run)
    assert not is_being_pruned(any_store, run)
    assert "a model" in texts(any_store)


# Killed at any step


class Killed(BaseException):
    """What a kill looks like from within."""


class MortalStore(ArtifactStore):
    """A store whose process is killed before its n-th change."""

    left = 1_000_000

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def create(self, key: str, data: bytes, *, flush: bool = False) -> bool:
        self._count()
        return super().create(key, data, flush=flush)

    def write(self, key: str, data: bytes, *, flush: bool = False) -> None:
        self._count()
        super().write(key, data, flush=flush)

    def remove(self, key: str) -> None:
        self._count()
        super().remove(key)

    def remove_folder(self, prefix: str) -> None:
        self._count()
        super().remove_folder(prefix)

    def remove_blobs(self, digests: Iterable[Digest], before: float) -> list[Digest]:
        gone = list[Digest]()
        for digest in digests:
            self._count()
            gone += super().remove_blobs([digest], before)
        return gone


def assert_whole_or_pruned(store: ArtifactStore, run: RunId) -> None:
    if run not in stored_runs(store):
        with pytest.raises(UnknownRun, match="was pruned on"):
            Specification.read(store, run)
    else:
        Specification.read(store, run)
        assert read_final(store, run) is not None
        assert len([key for key in files_of(store, run) if not key.endswith("specification.json")]) >= 4
        assert {f"model of {run}", f"an item of {run}", "shared"} <= texts(store)


def test_a_prune_that_is_killed_at_any_step_leaves_whole_runs_and_is_ended_by_the_next(
    tmp_path: Path,
) -> None:
    steps = 0
    while True:
        store = MortalStore(str(tmp_path / str(steps)))
        runs = [
            complete(store, run_id(number), fit=f"model of {run_id(number)}", load="shared")
            for number in (1, 2, 3)
        ]
        keep_result(store, runs[0], "cached")
        store.left = steps
        try:
            prune_later(store, NEWEST)
        except Killed:
            store.left = 1_000_000
        else:
            break
        for run in runs:
            assert_whole_or_pruned(store, run)
        prune_later(store, NEWEST)
        assert stored_runs(store) == [runs[2]]
        assert texts(store) == {f"model of {runs[2]}", f"an item of {runs[2]}", "shared"}
        assert not [key for run in runs[:2] for key in files_of(store, run)]
        assert not list(store.keys("cache"))
        assert not [key for key in store.keys("pruned") if key.endswith(".intent")]
        steps += 1
    assert steps > 20


def test_a_run_whose_prune_was_killed_goes_whatever_the_next_one_is_told(tmp_path: Path) -> None:
    store = MortalStore(str(tmp_path))
    run = complete(store, run_id(1))
    store.left = 1  # only the intent
    with pytest.raises(Killed):
        prune_later(store)
    store.left = 1_000_000
    assert is_being_pruned(store, run)
    assert list(prune_later(store, Retention(keep_last=10)).runs) == [run]


# What cannot be read


def test_nothing_is_removed_if_a_folder_cannot_be_listed(
    any_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that nobody could look for may name any blob."""
    complete(any_store, run_id(1), fit="a model")
    before = sizes(any_store)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir" if any_store.is_local else "obstore.list", refuse)
        with pytest.raises(StoreError):
            prune_later(any_store, Retention(keep_last=5))
    assert sizes(any_store) == before


def test_nothing_is_removed_if_a_manifest_cannot_be_read(
    any_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(any_store, run_id(1), fit="a model")
    any_store.put(b"of nobody")
    before, read = sizes(any_store), ArtifactStore.read

    def refuse(store: ArtifactStore, key: str) -> bytes | None:
        if "/nodes/" in key:
            raise StoreUnavailable("no connection")
        return read(store, key)

    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "read", refuse)
        with pytest.raises(StoreUnavailable):
            prune_later(any_store, Retention(keep_last=5))
    assert sizes(any_store) == before


# While writers are at work


@pytest.fixture
def folder(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def age(store: ArtifactStore, digest: Digest, days: float) -> None:
    """Have a blob be written so many days ago."""
    path, then = store.local_path(digest), time.time() - days * DAY
    os.utime(path, (then, then))


REUSES: dict[str, Callable[[ArtifactStore], bool]] = {
    "a stage's output": lambda store: bool(store.put(b"reused")),
    "a table's column": lambda store: store.is_stored(digest_of_bytes(b"reused"), 6),
    "a cached result": lambda store: store.reuse(digest_of_bytes(b"reused")),
}


@pytest.mark.parametrize("how", REUSES)
@pytest.mark.parametrize("point", ["_unreferenced", "_remove_blobs"])
def test_a_blob_that_a_writer_finds_to_be_there_is_not_removed_from_under_it(
    folder: ArtifactStore, monkeypatch: pytest.MonkeyPatch, how: str, point: str
) -> None:
    """An old blob that nothing refers to is found by a stage whose manifest comes after all."""
    digest = folder.put(b"reused")
    age(folder, digest, 5)

    def reuse() -> None:
        assert REUSES[how](folder)

    first_do(monkeypatch, point, reuse)
    assert prune(folder, MONTH, [], now=time.time()).blobs == 0
    assert folder.get(digest) == b"reused"
    begin(folder, run_id(1), fit="reused")
    prune(folder, MONTH, [], now=time.time() + 5 * DAY)
    assert folder.get(digest) == b"reused"


def test_a_manifest_is_whole_though_its_run_began_after_the_search(folder: ArtifactStore) -> None:
    digest = folder.put(b"reused")
    age(folder, digest, 5)
    before = time.time() - folder.grace
    begin(folder, run_id(1), fit="reused")
    assert folder.remove_blobs([digest], before) == []
    assert folder.holds(digest)


def test_writers_beside_prunes_find_what_they_have_put(
    any_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds are a long time here, and the writers come back to a blob just when it may be removed.

    Half of that is what a writer may rely on: on a busy machine a read may come too late.
    """
    for name in ("GRACE_LOCAL", "GRACE_REMOTE"):
        monkeypatch.setattr(f"orchestrator.artifacts.store.{name}", 2.0)
    until, removed = time.monotonic() + 3.5, 0

    def write() -> int:
        count = 0
        while time.monotonic() < until:
            data = b"%d" % (int(time.monotonic() * 8) % 18)  # each again after 2.1 to 2.3 seconds
            since = time.monotonic()
            try:
                assert any_store.get(any_store.put(data)) == data
                count += 1
            except MissingArtifact:
                if time.monotonic() - since < any_store.grace / 2:
                    raise
        return count

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write) for _ in range(4)]
        while time.monotonic() < until:
            removed += prune(any_store, MONTH, [], now=time.time()).blobs
        assert all(writer.result() for writer in writers)
    assert removed


def test_many_runs_and_blobs_are_gone_through_in_one_pass(folder: ArtifactStore) -> None:
    """Linear: no listing of everything for each run."""
    listed = list[str]()

    class Counting(ArtifactStore):
        def objects(self, prefix: str = "", *, but: Iterable[str] = ()) -> Iterator[StoredObject]:
            listed.append(prefix)
            return super().objects(prefix, but=but)

    store = Counting(folder.url)
    for number in range(50):
        complete(store, run_id(number), fit=f"model {number}")
    assert len(prune_later(store, NEWEST).runs) == 49
    assert listed.count("runs") == 2
    assert listed.count("") == 1
