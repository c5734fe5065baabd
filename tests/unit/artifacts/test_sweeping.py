"""Removing blobs while others write, find and read them, step by step."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import pytest

from orchestrator.artifacts import ArtifactStore, Digest, MissingArtifact, sweeping
from orchestrator.artifacts.digest import blob_key
from tests.harness.waiting import wait_until

OLD = 1_000_000_000.0


class Killed(BaseException):
    """What a kill looks like from within."""


def put_old(store: ArtifactStore, data: bytes) -> Digest:
    """A blob in a folder that was written long ago."""
    digest = store.put(data)
    os.utime(store.local_path(digest), (OLD, OLD))
    return digest


def path_of(store: ArtifactStore, digest: Digest) -> Path:
    return Path(store.url) / blob_key(digest)


@contextmanager
def before(
    monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object], *, where: object = os
) -> Iterator[None]:
    """Do something right before the first call of a function, as another process would."""
    call = getattr(where, name)
    todo = [act]

    def acting(*given: object, **named: object) -> object:
        if todo:
            todo.pop()()
        return call(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, acting)
        yield
    assert not todo


# A folder


def test_an_old_blob_is_removed_and_a_young_one_is_not(store: ArtifactStore) -> None:
    old, young = put_old(store, b"old"), store.put(b"young")
    assert store.remove_blobs([old, young], time.time() - 60) == [old]
    assert [blob.digest for blob in store.blobs()] == [young]
    with pytest.raises(MissingArtifact):
        store.local_path(old)


def test_a_blob_that_was_removed_can_be_put_again(store: ArtifactStore) -> None:
    old = put_old(store, b"old")
    store.remove_blobs([old], time.time() - 60)
    assert store.put(b"old") == old
    assert store.get(old) == b"old"


@pytest.mark.parametrize("step", ["rename", "stat", "unlink"])
def test_a_writer_at_any_step_of_a_removal_has_its_blob_afterwards(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = put_old(store, b"reused")
    with before(monkeypatch, step, lambda: ArtifactStore(store.url).put(b"reused")):
        store.remove_blobs([old], time.time() - 60)
    assert store.get(old) == b"reused"


@pytest.mark.parametrize("step", ["rename", "stat", "unlink"])
def test_a_cache_hit_at_any_step_of_a_removal_is_true(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Who is told that it may reuse a blob finds it afterwards."""
    old, told = put_old(store, b"reused"), list[bool]()
    with before(monkeypatch, step, lambda: told.append(ArtifactStore(store.url).reuse(old))):
        store.remove_blobs([old], time.time() - 60)
    assert store.holds(old) or told == [False]


@pytest.mark.parametrize("how", ["bytes", "file"])
@pytest.mark.parametrize("step", ["stat", "link"])
def test_a_reader_finds_a_blob_that_a_writer_has_just_reused(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, step: str, how: str
) -> None:
    """The removal has moved it away when it sees its new time; who reads it then puts it back."""
    old, read = put_old(store, b"reused"), list[bytes]()

    def reader() -> None:
        other = ArtifactStore(store.url)
        read.append(other.get(old) if how == "bytes" else other.local_path(old).read_bytes())

    with (
        before(monkeypatch, "rename", lambda: os.utime(path_of(store, old))),
        before(monkeypatch, step, reader),
    ):
        assert store.remove_blobs([old], time.time() - 60) == []
    assert read == [b"reused"]
    assert store.get(old) == b"reused"


@pytest.mark.parametrize("step", ["stat", "unlink"])
def test_a_removal_that_is_killed_is_undone_by_the_next(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = put_old(store, b"old")

    def die() -> None:
        raise Killed

    with pytest.raises(Killed), before(monkeypatch, step, die):
        store.remove_blobs([old], time.time() - 60)
    assert list(store.blobs()) == []
    ArtifactStore(store.url).tidy()
    assert [blob.digest for blob in store.blobs()] == [old]
    assert store.remove_blobs([old], time.time() - 60) == [old]
    assert not list((Path(store.url) / "condemned").iterdir())


def test_two_removals_of_one_blob_remove_it_once(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, other = put_old(store, b"old"), list[Digest]()
    with before(monkeypatch, "rename", lambda: other.extend(store.remove_blobs([old], time.time() - 60))):
        mine = store.remove_blobs([old], time.time() - 60)
    assert (mine, other) == ([], [old])


def test_a_blob_that_another_user_wrote_is_written_again(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not give a file a new time must not rely on it."""
    old = put_old(store, b"reused")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert not store.is_stored(old, 6)
    assert store.reuse(old)
    assert path_of(store, old).stat().st_mtime > time.time() - 60


def test_a_recent_blob_is_not_touched_again(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be verified anew by every process."""
    digest = store.put(b"recent")
    when = path_of(store, digest).stat().st_mtime_ns
    store.put(b"recent")
    assert path_of(store, digest).stat().st_mtime_ns == when


def test_what_is_being_removed_is_no_object(store: ArtifactStore) -> None:
    (Path(store.url) / "condemned").mkdir()
    (Path(store.url) / "condemned" / "x").write_text("")
    assert not list(store.keys())
    assert not list(store.objects())


# A store that removes by name


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A store like one that is remote, in which all that is more than a second old is too old to rely on."""
    monkeypatch.setattr("orchestrator.artifacts.store.GRACE_REMOTE", 2.0)
    monkeypatch.setattr(sweeping, "_PACE", 0.01)
    return ArtifactStore("memory://")


def test_a_remote_blob_that_is_written_during_a_sweep_is_there_afterwards(
    remote: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written after the sweep has looked at the time of the old one, and before the removal."""
    digest = remote.put(b"reused")
    time.sleep(1.1)
    writer = threading.Thread(target=remote.put, args=(b"reused",))
    puts = list[str]()
    put = obstore.put

    def counted(backend: Any, key: str, *given: Any, **named: Any) -> object:
        result = put(backend, key, *given, **named)
        puts.append(key)
        return result

    monkeypatch.setattr(obstore, "put", counted)

    def write() -> None:
        writer.start()
        wait_until(lambda: blob_key(digest) in puts, "the writer has put it")

    with before(monkeypatch, "delete", write, where=obstore):
        assert remote.remove_blobs([digest], time.time() - 0.5) == [digest]
    writer.join(10)
    assert remote.get(digest) == b"reused"
    assert puts.count(blob_key(digest)) == 2


def test_who_finds_what_another_has_written_during_a_sweep_waits_for_its_end(
    remote: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has looked at the blob before the other wrote it, and removes what both rely on."""
    digest = remote.put(b"reused")
    time.sleep(1.1)
    with ThreadPoolExecutor(1) as threads:
        told = list[Future[bool]]()

        def write_and_find() -> None:
            obstore.put(remote._backend, blob_key(digest), b"reused")
            told.append(threads.submit(remote.is_stored, digest, 6))
            with pytest.raises(TimeoutError):
                told[0].result(timeout=0.2)

        with before(monkeypatch, "delete", write_and_find, where=obstore):
            assert remote.remove_blobs([digest], time.time() - 0.5) == [digest]
        assert not told[0].result(timeout=10)


def test_a_sweep_that_comes_after_a_writer_leaves_its_blob(remote: ArtifactStore) -> None:
    digest = remote.put(b"reused")
    time.sleep(1.1)
    assert not remote.is_stored(digest, 6)
    assert remote.reuse(digest)
    assert remote.remove_blobs([digest], time.time() - 0.5) == []


def test_a_sweep_that_was_paused_removes_nothing_more(
    remote: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then a writer may have taken it for killed."""
    digest = remote.put(b"old")
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", -1.0)
    assert remote.remove_blobs([digest], time.time() + 60) == []
    assert remote.get(digest) == b"old"


def test_a_writer_waits_no_longer_than_it_must_for_a_sweep_that_was_killed(
    remote: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PATIENCE", 0.1)

    def die() -> None:
        raise Killed

    with pytest.raises(Killed), before(monkeypatch, "delete", die, where=obstore):
        remote.remove_blobs([], time.time())
    remote.put(b"first")
    since = time.monotonic()
    remote.put(b"second")
    assert time.monotonic() - since < 0.1, "the mark is gone"


def test_a_remote_store_has_no_folders_to_remove(remote: ArtifactStore) -> None:
    remote.write("runs/a/b", b"")
    remote.remove_folder("runs/a")
    remote.tidy()
    assert [each.key for each in remote.objects("runs")] == ["runs/a/b"]
