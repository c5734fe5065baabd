"""What `doctor` finds, with what is wrong planted in real services."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import threading
import time
from collections import namedtuple
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.cli import checkup
from orchestrator.cli.checkup import Checkup, Level
from orchestrator.cli.doctor import doctor
from orchestrator.runs.connection import connect
from orchestrator.runs.presence import WorkerPresence, say_presence
from orchestrator.settings import Settings, settings
from tests.harness.redis_server import private_redis

OURS = "celery-ml-orchestrator"


@contextmanager
def without_root():
    """Root may write everywhere: be somebody else for the time of the block."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture(scope="module")
def redis_url():
    with private_redis() as url:
        yield url


@pytest.fixture
def redis(redis_url):
    client = connect(redis_url)
    client.flushall()
    yield client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 0)
    client.close()


@pytest.fixture
def faults(tmp_path, redis_url):
    """The faults that are found with some settings, by the check."""

    def faults(clock=None, **settings):
        given = {
            "home": tmp_path,
            "redis_url": redis_url,
            "queues": ("data",),
            "pipelines": ("pipelines.hello",),
        }
        made = Checkup(Settings(**{**given, **settings}), **({"clock": clock} if clock else {}))
        found = list(made.findings())
        return {each.name: each.told for each in found if each.level is Level.FAULT}

    return faults


def worker(client, *, version=None, late=0.0, queues=("data",)):
    presence = WorkerPresence("data@host", queues, frozenset(), version or installed(OURS))
    say_presence(client, presence, lifetime=30.0, clock=lambda: time.time() + late)


def test_a_healthy_stack_has_no_fault(faults, redis):
    worker(redis)
    assert faults() == {}


def test_an_old_redis_is_found(faults, redis, monkeypatch):
    worker(redis)
    monkeypatch.setattr("orchestrator.runs.connection.OLDEST", (99, 0))
    assert "99.0 is needed" in faults()["redis"]


def test_a_redis_that_may_drop_keys_is_found(faults, redis):
    redis.config_set("maxmemory-policy", "allkeys-lru")
    found = faults()
    assert "allkeys-lru" in found["redis"]
    assert "no worker serves" in found["workers"]  # which an unfit Redis can tell


def test_a_full_redis_is_found(faults, redis):
    worker(redis)
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 100_000)
    assert "are used" in faults()["redis memory"]


def test_clocks_that_are_off_are_found(faults, redis):
    worker(redis, late=60.0)
    assert "data@host is 60" in faults()["clock"]
    worker(redis)
    assert "behind Redis" in faults(clock=lambda: time.time() - 30)["clock"]


def test_a_store_that_may_not_be_written_is_found(faults, redis):
    worker(redis)
    with TemporaryDirectory() as folder:  # others can reach it, unlike those of pytest
        Path(folder).chmod(0o555)
        with without_root():
            assert "ermission" in faults(store=folder)["store"]


def test_a_store_that_is_no_folder_is_found(faults, redis, tmp_path):
    worker(redis)
    (tmp_path / "store").write_text("a file")
    assert "store" in faults(store=str(tmp_path / "store"))


def test_a_home_that_cannot_be_made_is_found(faults, redis, tmp_path):
    worker(redis)
    (tmp_path / "file").touch()
    assert "cannot be made" in faults(home=tmp_path / "file" / "home")["store"]


def test_a_store_in_a_folder_with_a_space_is_looked_at(redis, redis_url, tmp_path):
    (tmp_path / "my home" / "artifacts").mkdir(parents=True)
    chosen = Settings(home=tmp_path / "my home", redis_url=redis_url, pipelines=("pipelines.hello",))
    told = {each.name: each.told for each in Checkup(chosen).findings()}
    assert "is written, read" in told["store"]
    assert list((tmp_path / "my home" / "artifacts").rglob("doctor/*")) == []


class Mlflow(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"2.9.1")

    def log_message(self, format, *arguments): ...


def test_an_mlflow_that_is_down_or_older_is_found(faults, redis):
    worker(redis)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "does not answer" in faults(mlflow_tracking_uri=f"http://127.0.0.1:{port}")["mlflow"]
    with HTTPServer(("127.0.0.1", 0), Mlflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = faults(mlflow_tracking_uri=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "2.9.1, older than" in found["mlflow"]


class MlflowWithPassword(Mlflow):
    def do_GET(self):
        if self.headers["Authorization"] == f"Basic {base64.b64encode(b'ann:right').decode()}":
            super().do_GET()
        else:
            self.send_error(401)


def test_credentials_that_mlflow_refuses_are_found(faults, redis, tmp_path, monkeypatch):
    worker(redis)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with HTTPServer(("127.0.0.1", 0), MlflowWithPassword) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def found(user=""):
            return faults(mlflow_tracking_uri=f"http://{user}127.0.0.1:{server.server_port}")["mlflow"]

        without, wrong, in_url = found(), found("ann:wrong@"), found("ann:right@")
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = right\n"
        )
        in_file = found()
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        in_environment = found()
        server.shutdown()
    for refused in (without, wrong, in_environment):
        assert "refuses our credentials" in refused
        assert "ann:wrong" not in refused
    assert "older than" in in_url
    assert "older than" in in_file


def test_a_queue_without_a_worker_and_a_worker_of_another_version_are_found(faults, redis):
    assert "no worker serves the queue 'data'" in faults()["workers"]
    worker(redis, version="0.0.1")
    assert "data@host has version 0.0.1" in faults()["workers"]


def test_a_pipeline_that_does_not_import_is_found(faults, redis, tmp_path, monkeypatch):
    worker(redis)
    (tmp_path / "broken_pipelines.py").write_text("import nothing_like_this\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "broken_pipelines" in faults(pipelines=("broken_pipelines",))["pipelines"]


def test_a_module_that_ends_the_process_is_found(faults, redis, tmp_path, monkeypatch):
    worker(redis)
    (tmp_path / "quitting_pipelines.py").write_text("raise SystemExit('gone')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "gone" in faults(pipelines=("quitting_pipelines",))["pipelines"]


def test_what_modules_print_is_no_part_of_the_json(tmp_path, monkeypatch, capsys):
    (tmp_path / "printing_pipelines.py").write_text("print('a word')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_PIPELINES", "printing_pipelines")
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    try:
        doctor(as_json=True)
    finally:
        settings.cache_clear()
    shown = capsys.readouterr()
    assert {each["check"] for each in json.loads(shown.out)} >= {"redis", "pipelines"}
    assert "a word" in shown.err


def test_a_disk_that_is_nearly_full_is_found(faults, redis, monkeypatch):
    worker(redis)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    assert "1.0 MB of 1.0 TB are free" in faults()["disk"]


def test_what_cannot_be_checked_is_no_second_fault(faults, monkeypatch):
    assert set(faults(redis_url="redis://127.0.0.1:1/0")) == {"redis"}


def test_a_check_that_hangs_is_a_fault(faults, redis, monkeypatch):
    worker(redis)
    waiting = threading.Event()
    monkeypatch.setattr(checkup, "PATIENCE", 0.5)
    monkeypatch.setattr(Checkup, "_check_store", lambda _: iter(waiting.wait, True))
    assert "no answer within" in faults()["store"]
    waiting.set()


def test_everything_that_hangs_takes_the_time_of_one_check(faults, monkeypatch):
    waiting = threading.Event()
    monkeypatch.setattr(checkup, "PATIENCE", 1.0)
    for check in ("_check_redis", "_check_store", "_check_mlflow", "_check_pipelines"):
        monkeypatch.setattr(Checkup, check, lambda _: iter(waiting.wait, True))
    started = time.monotonic()
    assert set(faults()) == {"redis", "store", "mlflow", "pipelines"}
    assert time.monotonic() - started < 2.0
    waiting.set()
