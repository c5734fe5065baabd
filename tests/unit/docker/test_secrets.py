"""Secrets of the Compose stack: docker/write-env makes them, containers read them from files."""

from __future__ import annotations

import configparser
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SECRET = re.compile(r"^[A-Z_]+_(?:PASSWORD|KEY)$")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nobody has made secrets yet."""
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    return tmp_path


def write_env(checkout: Path, *words: str) -> dict[str, str]:
    """What the file says then, of two lines with one name the later."""
    subprocess.run(["sh", "docker/write-env", *words], cwd=checkout, check=True, capture_output=True)
    lines = (checkout / (words[0] if words else ".env")).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def sources(service: str) -> set[str]:
    given = COMPOSE["services"][service].get("secrets", ())
    return {each if isinstance(each, str) else each["source"] for each in given}


def test_each_secret_that_a_service_reads_is_written_and_each_that_is_written_is_read(checkout: Path) -> None:
    write_env(checkout)
    written = {file.name for file in (checkout / ".env.secrets").iterdir()}
    assert set(COMPOSE["secrets"]) == written
    assert set.union(*map(sources, COMPOSE["services"])) == written
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{SECRETS_FOLDER:-.env.secrets}}/{name}"}


def test_compose_is_told_no_secret() -> None:
    assert [name for name in re.findall(r"\$\{?([A-Z_]+)", TEXT) if SECRET.match(name)] == []


def test_files_hold_what_the_env_file_says_and_only_their_owner_gets_to_them(checkout: Path) -> None:
    said = write_env(checkout)
    folder = checkout / ".env.secrets"
    for name in filter(SECRET.match, said):
        assert len(said[name]) == 48
        assert (folder / name.lower()).read_text() == said[name]
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o444}
    mlflow = configparser.ConfigParser()
    mlflow.read(folder / "mlflow_credentials")
    assert mlflow["mlflow"]["mlflow_tracking_password"] == said["MLFLOW_SERVICES_PASSWORD"]


def test_a_second_time_changes_nothing(checkout: Path) -> None:
    write_env(checkout)
    before = {file: file.read_bytes() for file in checkout.rglob(".env*/*")} | {
        checkout / ".env": (checkout / ".env").read_bytes()
    }
    write_env(checkout)
    assert {file: file.read_bytes() for file in before} == before


def test_a_changed_line_gets_into_its_file_and_has_compose_start_anew(checkout: Path) -> None:
    write_env(checkout)
    file = checkout / ".env"
    file.write_text(re.sub("(?m)^SECRETS_CHANGED=.*", "SECRETS_CHANGED=before", file.read_text()))
    with file.open("a") as env:
        env.write('FLOWER_PASSWORD=of-ours\nAWS_SECRET_ACCESS_KEY="a/b+c="\n')
    assert write_env(checkout)["SECRETS_CHANGED"] != "before"
    assert (checkout / ".env.secrets" / "flower_password").read_text() == "of-ours"
    assert (checkout / ".env.secrets" / "aws_secret_access_key").read_text() == "a/b+c="


def test_a_file_elsewhere_names_its_folder_and_a_copy_of_it_its_own(checkout: Path) -> None:
    assert "SECRETS_FOLDER" not in write_env(checkout, ".env")
    assert write_env(checkout, "test.env")["SECRETS_FOLDER"] == str(checkout / "test.env.secrets")
    shutil.copy(checkout / "test.env", checkout / "copy.env")
    assert write_env(checkout, "copy.env")["SECRETS_FOLDER"] == str(checkout / "copy.env.secrets")
