"""REDIS_URL, as users write it, and as Celery and redis-py want it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.redis_url import client_url, normalized
from orchestrator.settings import InvalidSettings, settings


@pytest.mark.parametrize(
    ("written", "celery", "redis_py"),
    [
        ("redis://localhost", "redis://localhost", "redis://localhost"),
        ("redis://:p%2Fx@host:6380/3", "redis://:p%2Fx@host:6380/3", "redis://:p%2Fx@host:6380/3"),
        ("unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=2", "unix:///run/r.sock?db=2"),
        ("redis+socket:///run/r.sock", "redis+socket:///run/r.sock", "unix:///run/r.sock"),
        (
            "rediss://host?ssl_ca_certs=/etc/ca.pem",
            "rediss://host?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
            "rediss://host?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
        ),
        (
            "rediss://host?ssl_cert_reqs=CERT_NONE",
            "rediss://host?ssl_cert_reqs=none",
            "rediss://host?ssl_cert_reqs=none",
        ),
        ("redis://[::1]:6379", "redis://[::1]:6379", "redis://[::1]:6379"),
    ],
)
def test_an_address_is_spelled_as_its_readers_want_it(written: str, celery: str, redis_py: str) -> None:
    assert normalized(written) == celery
    assert normalized(celery) == celery
    assert client_url(celery) == redis_py


@pytest.mark.parametrize(
    ("written", "clue"),
    [
        ("amqp://guest:s3cret@host", "begins with amqp://"),
        ("sentinel://:s3cret@host:26379", "Sentinel is not supported"),
        ("localhost:6379", "no URL"),
        ("redis://:s3cret/x@host:6379/0", "%2F"),
        ("redis://:s3cret#x@host:6379/0", "%23"),
        ("redis://:s3cret?x@host:6379/0", "%3F"),
        ("redis://:s3cret[x@host:6379/0", "%5B"),
        ("redis://:s3cret@host:99999", "port"),
        ("redis://:s3cret@host:six", "port"),
        ("redis://:s3cret@host:6379/first", "database"),
        ("redis://", "no host"),
        ("redis://host?ssl_ca_certs=/etc/ca.pem", "is for rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "required, optional, none"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix:///run/redis.sock?db=first", "database"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_its_password(written: str, clue: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        normalized(written)
    assert clue in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_settings_name_the_variable_and_show_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret/x@host:6379/0")
    settings.cache_clear()
    with pytest.raises(InvalidSettings, match=r"^REDIS_URL: ") as refused:
        settings()
    settings.cache_clear()
    assert "s3cret" not in str(refused.value)


def test_secrets_may_be_given_as_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("s3/cret\n")
    (tmp_path / "mlflow").write_text("other\n")
    (tmp_path / "empty").touch()
    monkeypatch.setenv("REDIS_URL", "redis://worker@host:6379/0")
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(tmp_path / "redis"))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "mlflow"))
    monkeypatch.setenv("AWS_SESSION_TOKEN_FILE", str(tmp_path / "empty"))
    for name in ("REDIS_PASSWORD", "MLFLOW_TRACKING_PASSWORD", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    settings.cache_clear()
    assert settings().redis_url == "redis://worker:s3%2Fcret@host:6379/0"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "other"  # noqa: S105 - made up
    assert "AWS_SESSION_TOKEN" not in os.environ
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY_FILE", str(tmp_path / "absent"))
    settings.cache_clear()
    with pytest.raises(InvalidSettings, match=r"^AWS_SECRET_ACCESS_KEY_FILE: .*absent cannot be read"):
        settings()
    settings.cache_clear()
