"""What every store must do, and what a store in a folder does when its files are touched."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.artifacts import (
    AlteredArtifact,
    ArtifactStore,
    Digest,
    MissingArtifact,
    StoreError,
    WrongKey,
    WrongValue,
)

NOWHERE = Digest("sha256:" + "0" * 64)


def blob_file(store: ArtifactStore, digest: Digest) -> Path:
    """The file of a blob, made writable."""
    path = Path(store.url) / "blobs" / "sha256" / digest[7:9] / digest[7:]
    path.chmod(0o644)
    return path


# Blobs, in every store


def test_a_blob_comes_back_under_the_digest_of_its_bytes(any_store: ArtifactStore) -> None:
    digest = any_store.put(b"some bytes")
    assert digest == "sha256:" + hashlib.sha256(b"some bytes").hexdigest()
    assert any_store.get(digest) == b"some bytes"


def test_an_empty_blob_is_a_blob(any_store: ArtifactStore) -> None:
    assert any_store.get(any_store.put(b"")) == b""


def test_bytes_a_file_and_an_open_file_have_the_same_digest(any_store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"x" * 100_000)
    digest = any_store.put(tmp_path / "data.bin")
    assert any_store.get(digest) == b"x" * 100_000
    assert any_store.put(io.BytesIO(b"x" * 100_000)) == any_store.put(b"x" * 100_000) == digest


def test_a_blob_larger_than_one_upload_chunk_comes_back(any_store: ArtifactStore, tmp_path: Path) -> None:
    data = os.urandom(11 * 1024 * 1024)
    (tmp_path / "large.bin").write_bytes(data)
    assert any_store.get(any_store.put(tmp_path / "large.bin")) == data


def test_a_blob_has_a_local_file(any_store: ArtifactStore) -> None:
    path = any_store.local_path(any_store.put(b"some bytes"))
    assert path.read_bytes() == b"some bytes"


def test_a_missing_blob_is_named_with_what_to_do(any_store: ArtifactStore) -> None:
    for read in (any_store.get, any_store.local_path):
        with pytest.raises(MissingArtifact, match=NOWHERE) as caught:
            read(NOWHERE)
        assert "resume" in str(caught.value.hint)


@pytest.mark.parametrize(
    "digest", ["", "sha256:..", "sha256:" + "A" * 64, "md5:" + "0" * 32, "../../etc/passwd"]
)
def test_what_is_no_digest_is_refused(any_store: ArtifactStore, digest: str) -> None:
    for read in (any_store.get, any_store.local_path):
        with pytest.raises(WrongKey):
            read(Digest(digest))


def test_equal_folders_have_equal_digests_whatever_their_times_and_order(
    any_store: ArtifactStore, tmp_path: Path
) -> None:
    for name, order in (("one", ["a", "b"]), ("two", ["b", "a"])):
        for file in order:
            (tmp_path / name / "sub").mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "sub" / file).write_text(file)
    os.utime(tmp_path / "two" / "sub" / "a", (1, 1))
    assert any_store.put(tmp_path / "one") == any_store.put(tmp_path / "two")


def test_a_folder_with_a_link_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("/etc/hostname")
    with pytest.raises(WrongValue, match="link"):
        store.put(tmp_path / "folder")


# Plain keys, in every store


def test_a_key_is_written_read_and_overwritten(any_store: ArtifactStore) -> None:
    assert any_store.read("runs/r1/spec.json") is None
    any_store.write("runs/r1/spec.json", b"one")
    any_store.write("runs/r1/spec.json", b"two")
    assert any_store.read("runs/r1/spec.json") == b"two"


def test_a_key_is_created_once(any_store: ArtifactStore) -> None:
    assert any_store.create("runs/r1/fit[3]", b"first") is True
    assert any_store.create("runs/r1/fit[3]", b"second") is False
    assert any_store.read("runs/r1/fit[3]") == b"first"


def test_of_many_that_create_a_key_at_once_exactly_one_does(any_store: ArtifactStore) -> None:
    for round_number in range(20):
        gate = threading.Barrier(8)

        def create(writer: int, key: str = f"race/{round_number}", gate: threading.Barrier = gate) -> bool:
            gate.wait(10)
            return any_store.create(key, str(writer).encode())

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(create, range(8)))
        assert made.count(True) == 1
        assert any_store.read(f"race/{round_number}") == str(made.index(True)).encode()


def test_the_folders_of_a_folder_are_listed_without_what_is_in_them(any_store: ArtifactStore) -> None:
    for key in (
        "runs/b/nodes/fit.json",
        "runs/b/made.json",
        "runs/a/made.json",
        "runs/file",
        "other/made.json",
    ):
        any_store.create(key, b"{}")
    assert any_store.folders("runs", holding="made.json") == ["a", "b"]
    assert any_store.folders("nothing", holding="made.json") == []


def test_a_local_folder_is_not_listed_without_the_file_that_it_is_to_hold(store: ArtifactStore) -> None:
    store.create("runs/a/nodes/fit.json", b"{}")
    assert store.folders("runs", holding="made.json") == []


def test_keys_are_listed_below_a_folder_and_never_blobs(any_store: ArtifactStore) -> None:
    any_store.put(b"a blob")
    for key in ("runs/b/x", "runs/a/fit[1]", "runs/a/fit[0]", "runs/ab/x", "other é"):
        any_store.write(key, b"")
    assert list(any_store.keys("runs/a")) == ["runs/a/fit[0]", "runs/a/fit[1]"]
    assert list(any_store.keys("runs/a/")) == ["runs/a/fit[0]", "runs/a/fit[1]"]
    assert list(any_store.keys("nothing")) == []
    assert list(any_store.keys()) == sorted(
        ["runs/b/x", "runs/a/fit[1]", "runs/a/fit[0]", "runs/ab/x", "other é"]
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../../b",
        "a//b",
        "a/",
        "./a",
        "a\\b",
        "a\0b",
        "a\nb",
        "a#1",
        "blobs/x",
        "x" * 300,
    ],
)
def test_a_key_that_could_lead_elsewhere_is_refused(any_store: ArtifactStore, key: str) -> None:
    with pytest.raises(WrongKey):
        any_store.write(key, b"")
    with pytest.raises(WrongKey):
        any_store.create(key, b"")
    with pytest.raises(WrongKey):
        any_store.read(key)


# A folder whose files are touched


def test_an_altered_blob_is_refused_and_named(store: ArtifactStore) -> None:
    digest = store.put(b"some bytes")
    assert store.local_path(digest).read_bytes() == b"some bytes"
    blob_file(store, digest).write_bytes(b"evil bytes")
    for read in (store.get, store.local_path):
        with pytest.raises(AlteredArtifact, match=digest) as caught:
            read(digest)
        assert "orchestrator resume" in str(caught.value.hint)


def test_an_alteration_that_keeps_size_and_time_is_noticed(store: ArtifactStore) -> None:
    digest = store.put(b"some bytes")
    status = store.local_path(digest).stat()
    path = blob_file(store, digest)
    path.write_bytes(b"evil bytes")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(AlteredArtifact):
        store.local_path(digest)


def test_a_truncated_blob_is_refused_and_mended_when_it_is_put_again(store: ArtifactStore) -> None:
    digest = store.put(b"some bytes")
    blob_file(store, digest).write_bytes(b"some")
    with pytest.raises(AlteredArtifact):
        store.get(digest)
    store.put(b"some bytes")
    assert store.get(digest) == b"some bytes"


def test_a_blob_that_is_there_is_not_written_again(store: ArtifactStore) -> None:
    path = store.local_path(store.put(b"some bytes"))
    before = path.stat()
    store.put(b"some bytes")
    assert path.stat().st_ino == before.st_ino


def test_a_blob_is_hashed_once_while_nobody_touches_it(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(b"some bytes")
    store.local_path(digest)
    monkeypatch.setattr("orchestrator.artifacts.store.digest_of_file", lambda _: pytest.fail("hashed again"))
    store.local_path(digest)


def test_a_blob_is_read_only(store: ArtifactStore) -> None:
    assert store.local_path(store.put(b"some bytes")).stat().st_mode & 0o222 == 0


def test_another_process_reads_what_this_one_wrote(store: ArtifactStore) -> None:
    digest = store.put(b"some bytes")
    code = "import sys; from orchestrator.artifacts import ArtifactStore as Store\n"
    code += "print(Store(sys.argv[1]).get(sys.argv[2]))"
    said = subprocess.check_output([sys.executable, "-c", code, store.url, digest], text=True)
    assert said.strip() == "b'some bytes'"


# When the store cannot do what it is asked


def test_a_file_where_the_folder_should_be_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot open .*file/store") as caught:
        ArtifactStore(str(tmp_path / "file" / "store"))
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)


def test_a_file_in_the_way_of_a_key_is_one_clear_error(store: ArtifactStore) -> None:
    store.write("runs", b"in the way")
    for write in (store.write, store.create):
        with pytest.raises(StoreError, match=r"'runs/r1'.*Not a directory") as caught:
            write("runs/r1", b"")
        assert "\n" not in str(caught.value)


FORBIDDEN = """
import os, sys
from orchestrator.artifacts import ArtifactStore, StoreError
store = ArtifactStore(sys.argv[1])
os.chmod(sys.argv[1], 0o555)
if os.geteuid() == 0:
    os.setuid(65534)
for attempt in (lambda: store.put(b"some bytes"), lambda: store.create("key", b"")):
    try:
        attempt()
    except StoreError as error:
        print(error, error.hint, repr(error.__cause__ is None))
"""


def test_a_store_without_write_permission_is_one_clear_error(store: ArtifactStore) -> None:
    said = subprocess.check_output([sys.executable, "-c", FORBIDDEN, store.url], text=True)
    assert [
        line.endswith("check the permissions or the credentials. False") for line in said.splitlines()
    ] == [True] * 2
    assert "cannot write sha256:" in said
    assert "cannot create 'key'" in said


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "file://host/x", "file:relative", "https://host/x?key=secret"]
)
def test_an_unknown_url_is_refused_without_its_secrets(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as caught:
        ArtifactStore(url)
    assert "secret" not in str(caught.value)


FORKED = """
import os, sys
from orchestrator.artifacts import ArtifactStore, StoreError
store = ArtifactStore(sys.argv[1])
if sys.argv[2] == "used":
    store.write("key", b"value")
if os.fork() == 0:
    try:
        print(store.read("key"), flush=True)
    except StoreError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_store_that_was_used_before_a_fork_says_so_instead_of_hanging(store: ArtifactStore) -> None:
    said = subprocess.check_output([sys.executable, "-c", FORKED, store.url, "used"], text=True, timeout=30)
    assert "forked" in said


def test_a_store_that_was_only_opened_before_a_fork_works_after_it(store: ArtifactStore) -> None:
    said = subprocess.check_output([sys.executable, "-c", FORKED, store.url, "opened"], text=True, timeout=30)
    assert said.strip() == "None"


# Local copies


def test_copies_go_with_their_process_even_if_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from orchestrator.artifacts import ArtifactStore; store = ArtifactStore('memory://');"
        "print(store.local_path(store.put(b'bytes')), flush=True);"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = code + "os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", killed], env=environment, check=False, capture_output=True)
    assert len(list(tmp_path.iterdir())) == 1
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []


def test_copies_are_fetched_again_after_a_trim() -> None:
    store = ArtifactStore("memory://")
    digest = store.put(b"some bytes")
    path = store.local_path(digest)
    store.trim(limit=1000)
    assert path.exists()
    store.trim(limit=1)
    assert not path.exists()
    assert store.local_path(digest).read_bytes() == b"some bytes"


def test_an_altered_copy_is_fetched_again() -> None:
    store = ArtifactStore("memory://")
    digest = store.put(b"some bytes")
    store.local_path(digest).write_bytes(b"evil bytes")
    with pytest.raises(AlteredArtifact):
        store.local_path(digest)
    assert store.local_path(digest).read_bytes() == b"some bytes"


def test_a_key_that_was_removed_is_free_again(any_store: ArtifactStore) -> None:
    any_store.write("runs/a/outbox.json", b"{}")
    any_store.remove("runs/a/outbox.json")
    any_store.remove("runs/a/outbox.json")
    assert any_store.read("runs/a/outbox.json") is None
    assert any_store.create("runs/a/outbox.json", b"{}")
