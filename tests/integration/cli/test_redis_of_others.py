"""A Redis that is not ours: what waiting cannot mend is said at once, with status 2."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from orchestrator.redis_url import client_url
from tests.harness.redis_server import private_redis

from .conftest import Shell

SERVICES = (["worker", "data"], ["coordinator"], ["run", "order"])


def refused(shell: Shell, *words: str) -> str:
    """What a command says that ends at once."""
    done = shell(*words, seconds=30)
    assert done.status == 2, done
    assert "Traceback" not in done.err
    assert "waiting" not in done.err
    assert "defect" not in done.err
    return done.err


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key, signed by itself."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of localhost on which `answer(connection)` is called for each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_one(connection: socket.socket) -> None:
            with connection:
                answer(connection)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer_one, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_in_front_of(redis_socket: Path, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS, and passes what it hears to a Redis behind a socket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def answer(connection: socket.socket) -> None:
        try:
            outside = context.wrap_socket(connection, server_side=True)
        except (OSError, ssl.SSLError):
            return
        with outside, socket.socket(socket.AF_UNIX) as inside:
            inside.connect(str(redis_socket))
            back = threading.Thread(target=copy, args=(inside, outside), daemon=True)
            back.start()
            copy(outside, inside)
            back.join()

    with listening(answer) as port:
        yield port


@pytest.mark.parametrize("words", SERVICES)
@pytest.mark.parametrize(
    ("url", "clue"),
    [
        ("amqp://guest@localhost", "begins with amqp://"),
        ("sentinel://localhost:26379", "Sentinel is not supported"),
    ],
)
def test_another_kind_of_broker_is_refused(alone: Shell, words: list[str], url: str, clue: str) -> None:
    assert clue in refused(alone.where(REDIS_URL=url), *words)


@pytest.mark.parametrize("words", SERVICES)
def test_a_database_out_of_range_is_refused(alone: Shell, words: list[str], redis_url: str) -> None:
    shell = alone.where(REDIS_URL=f"{client_url(redis_url)}?db=99")
    assert "has no database 99" in refused(shell, *words)


def test_wrong_credentials_are_refused(alone: Shell) -> None:
    with private_redis() as url:
        client = Redis.from_url(client_url(url))
        client.config_set("requirepass", "right")
        path = url.partition("://")[2]
        for wrong in (f"unix://:wrong@{path}", url):
            assert "password" in refused(alone.where(REDIS_URL=wrong), "worker", "data")


def test_what_is_no_redis_is_refused(alone: Shell) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(answer) as port:
        said = refused(alone.where(REDIS_URL=f"redis://127.0.0.1:{port}"), "coordinator")
    assert "is no Redis" in said


def test_a_certificate_is_checked_unless_the_address_says_otherwise(
    alone: Shell, certificate: Path, redis_url: str
) -> None:
    with tls_in_front_of(Path(redis_url.partition("://")[2]), certificate) as port:
        url = f"rediss://localhost:{port}/5"
        assert "is not trusted" in refused(alone.where(REDIS_URL=url), "worker", "data")
        absent = f"{url}?ssl_ca_certs=/no/such/file"
        assert "there is no file /no/such/file" in refused(alone.where(REDIS_URL=absent), "worker", "data")
        for fitting in (f"{url}?ssl_ca_certs={certificate}.crt", f"{url}?ssl_cert_reqs=none"):
            done = alone.where(REDIS_URL=fitting)("run", "order", "--detach")
            assert done.status == 0, done


def test_tls_where_none_is_spoken_is_refused(alone: Shell) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"-ERR unknown command\r\n")

    with listening(answer) as port:
        said = refused(alone.where(REDIS_URL=f"rediss://127.0.0.1:{port}"), "worker", "data")
    assert "speaks no TLS" in said


def test_a_redis_that_may_evict_messages_is_refused(alone: Shell) -> None:
    with private_redis() as url:
        Redis.from_url(client_url(url)).config_set("maxmemory-policy", "allkeys-lru")
        shell = alone.where(REDIS_URL=url)
        for words in SERVICES:
            said = refused(shell, *words)
            assert "allkeys-lru" in said
            assert "CONFIG SET maxmemory-policy noeviction" in said
        done = shell.where(ORCHESTRATOR_REDIS_EVICTION="warn")("run", "order", "--detach")
        assert done.status == 0, done
        assert "WARNING: Redis evicts keys" in done.err


def test_a_plain_celery_worker_refuses_what_ours_refuses(alone: Shell) -> None:
    with private_redis() as url:
        Redis.from_url(client_url(url)).config_set("maxmemory-policy", "allkeys-lru")
        environment = alone.where(REDIS_URL=url).environment
        command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "data", "-c", "1"]
        done = subprocess.run(
            command, env=environment, cwd=alone.home, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert "\nRedisUnfit: Redis evicts keys when it is full (maxmemory-policy allkeys-lru)" in done.stderr
    assert "CONFIG SET maxmemory-policy noeviction" in done.stderr


def test_a_file_of_variables_that_is_not_utf8_is_named(alone: Shell) -> None:
    (alone.home / ".env").write_bytes("# größe\n".encode("latin-1"))
    said = refused(alone, "runs")
    (alone.home / ".env").unlink()
    assert said.startswith("InvalidSettings: ")
    assert ".env is not UTF-8" in said
