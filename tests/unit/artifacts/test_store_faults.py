"""Full disks, forbidden folders, altered blobs, object stores that are away: what a store makes of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from orchestrator.artifacts import (
    AlteredArtifact,
    ArtifactStore,
    MissingArtifact,
    StoreError,
    StoreUnavailable,
    WrongValue,
)
from orchestrator.artifacts.backend import translated_errors
from orchestrator.artifacts.local_files import ABANDONED
from orchestrator.settings import settings

LARGE = os.urandom(3_000_000)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def writes_to(store: ArtifactStore, data: bytes = b"other bytes") -> list[Callable[[], object]]:
    """Each way to write."""
    return [
        lambda: store.put(data),
        lambda: store.create("key", data),
        lambda: store.write("key", data),
    ]


def alter(store: ArtifactStore, digest: str, data: bytes) -> None:
    """Damage a blob, as a failing disk would."""
    path = Path(store.url) / "blobs" / "sha256" / digest[7:9] / digest[7:]
    path.chmod(0o644)
    path.write_bytes(data)


# Full disks


def test_a_full_disk_is_an_error_that_waiting_may_mend_and_leaves_nothing_behind(
    small_disk: Path, tmp_path: Path
) -> None:
    store = ArtifactStore(str(small_disk / "store"))
    (tmp_path / "large").write_bytes(LARGE)
    for write in (*writes_to(store, LARGE), lambda: store.put(tmp_path / "large")):
        with pytest.raises(StoreUnavailable, match="No space left") as caught:
            write()
        assert caught.value.transient
        assert "free some space" in str(caught.value.hint)
        assert files_in(small_disk) == []


def test_a_write_succeeds_once_the_disk_has_space_again(small_disk: Path) -> None:
    store = ArtifactStore(str(small_disk / "store"))
    (small_disk / "ballast").write_bytes(os.urandom(1_500_000))
    with pytest.raises(StoreUnavailable):
        store.put(LARGE[:1_000_000])
    (small_disk / "ballast").unlink()
    assert store.get(store.put(LARGE[:1_000_000])) == LARGE[:1_000_000]


def test_a_full_disk_leaves_what_a_key_had(small_disk: Path) -> None:
    store = ArtifactStore(str(small_disk / "store"))
    store.write("key", b"old")
    with pytest.raises(StoreUnavailable):
        store.write("key", LARGE)
    assert store.read("key") == b"old"


# Folders that may not be written


def test_a_store_on_a_read_only_disk_says_at_once_that_waiting_is_in_vain(small_disk: Path) -> None:
    store = ArtifactStore(str(small_disk / "store"))
    digest = store.put(b"some bytes")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for write in (
        lambda: store.put(b"others"),
        lambda: store.create("key", b""),
        lambda: store.write("k", b""),
    ):
        with pytest.raises(StoreError, match="Read-only") as caught:
            write()
        assert not caught.value.transient
        assert "check the permissions" in str(caught.value.hint)
    assert store.get(digest) == b"some bytes"


# Drafts


def test_what_a_killed_process_left_is_no_blob_and_is_removed_once_it_is_old(tmp_path: Path) -> None:
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    for name, age in (("part#1", ABANDONED + 60), ("part#2", 60)):
        (drafts / name).write_bytes(b"half a bl")
        os.utime(drafts / name, (time.time() - age,) * 2)
    store = ArtifactStore(str(tmp_path))
    assert list(store.keys()) == []
    store.write("key", b"")
    assert files_in(drafts) == ["part#2"]


def test_who_is_an_hour_ahead_leaves_the_drafts_of_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "part#1").write_bytes(b"half a bl")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + ABANDONED + 60)
    ArtifactStore(str(tmp_path)).write("key", b"")
    assert files_in(tmp_path / "drafts") == ["part#1"]


def test_a_store_whose_folder_was_emptied_is_written_to_again(store: ArtifactStore) -> None:
    store.write("key", b"old")
    subprocess.run(["rm", "-r", store.url], check=True)
    store.write("key", b"new")
    assert store.get(store.put(b"some bytes")) == b"some bytes"


# Links and pipes that somebody has put among the files


def test_a_link_that_leads_out_of_the_store_is_not_followed(store: ArtifactStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("{}")
    store.write("runs/r1/specification.json", b"{}")
    (Path(store.url) / "runs" / "r1" / "nodes").symlink_to(outside)
    (Path(store.url) / "runs" / "r1" / "record.json").symlink_to(outside / "secret.json")
    digest = store.put(b"some bytes")
    blob = store.local_path(digest)
    (outside / "blob").write_bytes(b"some bytes")
    blob.unlink()
    blob.symlink_to(outside / "blob")
    for act in (
        lambda: store.read("runs/r1/nodes/secret.json"),
        lambda: store.read("runs/r1/record.json"),
        lambda: store.create("runs/r1/nodes/new.json", b""),
        lambda: store.write("runs/r1/nodes/new.json", b""),
        lambda: store.remove("runs/r1/nodes/secret.json"),
        lambda: list(store.keys("runs/r1/nodes")),
        lambda: store.get(digest),
        lambda: store.local_path(digest),
    ):
        with pytest.raises(StoreError, match="a link leads out of the store"):
            act()
    assert list(store.keys("runs")) == ["runs/r1/specification.json"]
    assert files_in(outside) == ["blob", "secret.json"]


def test_a_store_whose_folder_is_a_link_itself_is_used(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = ArtifactStore(str(tmp_path / "store"))
    store.write("runs/a", b"1")
    assert (store.read("runs/a"), list(store.keys("runs"))) == (b"1", ["runs/a"])
    assert store.local_path(store.put(b"some bytes")).read_bytes() == b"some bytes"


def test_a_pipe_in_the_place_of_a_record_keeps_nobody_waiting(store: ArtifactStore) -> None:
    store.write("runs/a", b"")
    os.mkfifo(Path(store.url) / "runs" / "pipe")
    with pytest.raises(StoreError, match="is no file"):
        store.read("runs/pipe")


# Blobs that are not what they were


@pytest.mark.parametrize("damage", [b"evil bytes", b"some", b""])
def test_an_altered_blob_is_written_again_when_it_is_put_again(store: ArtifactStore, damage: bytes) -> None:
    digest = store.put(b"some bytes")
    alter(store, digest, damage)
    store.put(b"some bytes")
    assert store.get(digest) == b"some bytes"


def test_a_store_says_whether_it_holds_a_blob_and_lets_go_of_an_altered_one(store: ArtifactStore) -> None:
    digest = store.put(b"some bytes")
    assert store.holds(digest)
    alter(store, digest, b"evil bytes")
    assert not store.holds(digest)
    with pytest.raises(MissingArtifact):
        store.get(digest)
    assert not store.holds(digest)


def test_folders_and_files_are_checked_before_they_are_handed_out(
    store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(LARGE)
    digest = store.put(tmp_path / "folder")
    store.folder(digest, "folder")
    blob = store.local_path(digest)
    data = bytearray(blob.read_bytes())
    data[1_000_000] ^= 1
    alter(store, digest, bytes(data))
    for read in (store.folder, store.file):
        with pytest.raises(AlteredArtifact):
            read(digest, "folder")


def test_a_file_that_is_written_to_while_it_is_stored_is_refused(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(LARGE)
    over = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not over.is_set():
                file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises(WrongValue, match="written to while it was stored"):
            store.put(path)
    finally:
        over.set()
        writer.join()
    for blob in (path for path in Path(store.url).rglob("*") if path.is_file()):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


# Object stores over the network


@contextmanager
def object_store(status: int) -> Iterator[S3Store]:
    """An S3 that has one answer to everything."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_HEAD = do_GET  # noqa: N815 - the server's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield s3_at(server.server_port)
        server.shutdown()


def s3_at(port: int) -> S3Store:
    return S3Store(
        "bucket",
        endpoint=f"http://127.0.0.1:{port}",
        client_options={"allow_http": True},
        access_key_id="key",
        secret_access_key="secret",
        region="us-east-1",
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
    )


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_object_store_that_is_overloaded_may_be_asked_again(status: int) -> None:
    with (
        object_store(status) as s3,
        pytest.raises(StoreUnavailable) as caught,
        translated_errors("read", "s3://x"),
    ):
        obstore.get(s3, "key")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_object_store_that_refuses_is_not_asked_again(status: int) -> None:
    with object_store(status) as s3, pytest.raises(StoreError) as caught, translated_errors("read", "s3://x"):
        obstore.get(s3, "key")
    assert not caught.value.transient


def test_an_object_store_that_does_not_answer_may_be_asked_again() -> None:
    with object_store(200) as s3:
        pass  # its port is free again
    with pytest.raises(StoreUnavailable, match="error sending request"), translated_errors("read", "s3://x"):
        obstore.get(s3, "key")


def test_a_bucket_that_does_not_exist_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store(404) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", str(s3.config["endpoint"]))
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        store = ArtifactStore("s3://bucket/prefix")
        for write in (
            lambda: store.put(b"bytes"),
            lambda: store.create("k", b""),
            lambda: store.write("k", b""),
        ):
            with pytest.raises(StoreError, match="not found") as caught:
                write()
            assert not caught.value.transient


# Credentials

CLOUDS = ["s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix"]


@pytest.fixture
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "ORCHESTRATOR_STORE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


@contextmanager
def metadata_service() -> Iterator[tuple[str, list[str]]]:
    """What a cloud's machines find at a link-local address: its URL here, and what it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT  # noqa: N815 - the server's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.usefixtures("_no_credentials")
@pytest.mark.parametrize("url", CLOUDS)
def test_a_store_without_credentials_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(StoreError, match=f"there are no credentials for the artifact store {url}") as caught:
        ArtifactStore(url)
    assert "ORCHESTRATOR_STORE_CREDENTIALS=machine" in str(caught.value.hint)
    assert not caught.value.transient


@pytest.mark.usefixtures("_no_credentials")
@pytest.mark.parametrize("allowed", ["AWS_METADATA_ENDPOINT", "ORCHESTRATOR_STORE_CREDENTIALS"])
def test_the_machine_is_asked_for_its_role_where_the_settings_say_so(
    allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.artifacts.backend._REQUESTS", {"max_retries": 0})
    with metadata_service() as (endpoint, asked):
        monkeypatch.setenv("ORCHESTRATOR_STORE_CREDENTIALS", "environment")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", endpoint)
        monkeypatch.setenv(allowed, endpoint if allowed.startswith("AWS") else "machine")
        with pytest.raises(StoreError):
            ArtifactStore("s3://bucket/prefix").read("key")
    assert asked


@pytest.mark.usefixtures("_no_credentials")
@pytest.mark.parametrize(
    ("url", "variables"),
    [
        (CLOUDS[0], {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}),
        (CLOUDS[0], {"AWS_SKIP_SIGNATURE": "true"}),
        (CLOUDS[1], {"GOOGLE_SKIP_SIGNATURE": "true"}),
        (CLOUDS[2], {"AZURE_STORAGE_ACCOUNT_NAME": "name", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}),
    ],
)
def test_credentials_of_the_environment_are_enough(
    url: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert repr(ArtifactStore(url)) == f"ArtifactStore('{url}')"


@pytest.mark.usefixtures("_no_credentials")
@pytest.mark.parametrize("variables", [{"AWS_ACCESS_KEY_ID": "key"}, {"AWS_SKIP_SIGNATURE": "false"}])
def test_half_of_the_credentials_are_none(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match="no credentials"):
        ArtifactStore("s3://bucket/prefix")
