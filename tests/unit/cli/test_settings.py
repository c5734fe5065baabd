"""What `settings` shows."""

from __future__ import annotations

import json

import pytest

from orchestrator.cli.settings import show_settings
from orchestrator.settings import settings


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder and home, and no setting of whoever runs the tests."""
    for name in ("REDIS_URL", "REDIS_URL_FILE", "REDIS_PASSWORD", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def shown(capsys):
    def shown():
        settings.cache_clear()
        show_settings(as_json=True)
        out, notes = capsys.readouterr()
        found = {each["variable"]: (each["value"], each["source"]) for each in json.loads(out)}
        return found, notes

    return shown


def test_each_setting_has_its_source(shown, folder, monkeypatch):
    (folder / "url").write_text("redis://127.0.0.1:1/0\n")
    (folder / ".env").write_text("ORCHESTRATOR_QUEUES=data,gpu\n")
    monkeypatch.setenv("REDIS_URL_FILE", str(folder / "url"))
    found, _ = shown()
    assert found["ORCHESTRATOR_HOME"] == (str(folder / "home"), "environment")
    assert found["REDIS_URL"] == ("redis://127.0.0.1:1/0", f"the file {folder / 'url'}")
    assert found["ORCHESTRATOR_QUEUES"] == ("data,gpu", ".env")
    assert found["ORCHESTRATOR_LEASE_SECONDS"] == ("10.0", "default")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:2/0")
    assert shown()[0]["REDIS_URL"] == ("redis://127.0.0.1:2/0", "environment")


def test_secrets_are_masked(shown, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://ann@127.0.0.1:1/0")
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:hunter2@mlflow.example")
    found, notes = shown()
    assert "hunter2" not in f"{found}{notes}"
    assert found["MLFLOW_TRACKING_URI"][0] == "https://ann:***@mlflow.example"


def test_a_variable_that_is_no_setting_is_pointed_out(shown, folder, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_LEASE_SECOND", "3")
    (folder / ".env").write_text("ORCHESTRATOR_IMAGE=mine\nORCHESTRATOR_STORES=x\n")
    _, notes = shown()
    assert "ORCHESTRATOR_LEASE_SECOND is no setting; did you mean ORCHESTRATOR_LEASE_SECONDS?" in notes
    assert "ORCHESTRATOR_STORES is no setting; did you mean ORCHESTRATOR_STORE?" in notes
    assert "ORCHESTRATOR_IMAGE" not in notes  # which is of Compose
