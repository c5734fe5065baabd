"""The wheel by itself: what is in it, and a first project with it on each Python that is found here."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

from tests.harness.shell import OURS
from tests.harness.wheel import ROOT, build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PYTHONS = ("3.14", "3.13", "3.12", "3.11")
#: Where the Pythons of pyenv and of uv are, which are not on the PATH.
KEPT = (".pyenv/versions/{}.*/bin", ".local/share/uv/python/cpython-{}.*/bin")
PACKAGES = ("orchestrator", "workers", "pipelines")


def run(*words: str | Path, folder: Path = ROOT, path: Path | None = None, **variables: str) -> str:
    """What a command printed that has to succeed, without variables of ours; `path` has what is installed."""
    ours = (*OURS, "PYTHON", "VIRTUAL_ENV")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if path:
        inherited["PATH"] = f"{path}{os.pathsep}/usr/bin{os.pathsep}/bin"
    done = subprocess.run(
        words, cwd=folder, env={**inherited, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@cache
def python(version: str) -> str | None:
    """A Python of that version that can make virtual environments."""
    name, bins = f"python{version}", [Path(sys.base_prefix) / "bin"]
    bins += [folder for place in KEPT for folder in Path.home().glob(place.format(version))]
    for each in filter(None, [shutil.which(name), *(shutil.which(name, path=str(bin)) for bin in bins)]):
        if (
            subprocess.run(
                [each, "-c", "import ensurepip, venv"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return each
    return None


FOUND = [version for version in PYTHONS if python(version)]  # at least the one that runs this
NEWEST, OLDEST = FOUND[0], FOUND[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_it_holds_the_packages_with_all_their_files_and_the_compose_stack_and_nothing_else(wheel):
    wanted = {file for package in PACKAGES for file in files_of(ROOT / package, package)}
    stack = "orchestrator/cli/compose"
    wanted |= {f"{stack}/docker-compose.yml", *files_of(ROOT / "docker", f"{stack}/docker")}
    wanted -= {f"{stack}/docker/Dockerfile", f"{stack}/docker/Dockerfile.dockerignore"}  # of a checkout
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        parsed = configparser.ConfigParser(delimiters="=")
        parsed.read_string(packed.read(entry_points).decode())
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {group: dict(parsed[group]) for group in parsed.sections()} == {
        "console_scripts": {"orchestrator": "orchestrator.cli:main"},
        "orchestrator.model_registry": {"mlflow": "workers.deployment.loading"},
        "pytest11": {"orchestrator.pytest_plugin": "orchestrator.pytest_plugin"},
    }


def files_of(folder: Path, place: str) -> set[str]:
    """Their names below `place`."""
    return {
        f"{place}/{file.relative_to(folder).as_posix()}"
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def first_commands(folder: Path, path: Path) -> list[str]:
    """Make a project in an empty folder; what `init` says is to be done next."""
    told = run("orchestrator", "init", "churn", folder=folder, path=path)
    assert list(folder.iterdir()) == [folder / "churn"]
    return [line.strip() for line in told.splitlines()[1:]]


def test_with_pip_a_project_is_made_and_tested_and_run_by_the_commands_that_init_prints(wheel, tmp_path):
    run(str(python(NEWEST)), "-m", "venv", tmp_path / "venv")
    bin = tmp_path / "venv" / "bin"
    run(bin / "python", "-m", "pip", "install", "--quiet", f"{wheel}[embedded,test]")
    (project := tmp_path / "new").mkdir()
    enter, run_it = first_commands(project, bin)
    assert "4 passed" in run("sh", "-ec", enter, folder=project, path=bin)
    told = run("sh", "-ec", run_it, folder=project / "churn", path=bin)
    assert "✓ churn succeeded" in told
    assert "result.accepted  yes" in told
    assert (project / "churn" / "wheels" / wheel.name).is_file()


@pytest.mark.parametrize("version", PYTHONS)
def test_with_uv_each_python_has_the_command_and_runs_a_pipeline_in_its_own_process(wheel, tmp_path, version):
    if version not in FOUND:
        pytest.skip(f"there is no Python {version} here")
    installed = install_with_uv(wheel, tmp_path, version)
    bin = tmp_path / "bin"
    (project := tmp_path / "new").mkdir()
    assert run("orchestrator", "--version", folder=project, path=bin).strip() == wheel.name.split("-")[1]
    first_commands(project, bin)
    assert "churn" in run("orchestrator", "pipelines", folder=project / "churn", path=bin)
    locally = "from churn.pipeline import churn; print(churn.run_locally()['good_enough'])"
    assert run(installed, "-c", locally, folder=project / "churn").endswith("True\n")


def install_with_uv(wheel: Path, folder: Path, version: str) -> Path:
    """`uv tool install`; the Python of the environment that it made."""
    name = wheel.name.split("-")[0].replace("_", "-")
    places = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    uv("install", "--python", str(python(version)), f"{name}[embedded] @ {wheel.as_uri()}", **places)
    return folder / "tools" / name / "bin" / "python"


def uv(*words: str, **variables: str) -> None:
    """A command of `uv tool`, with the index that pip has here."""
    pytest.importorskip("uv", reason="set-up has not installed uv here")
    own = Path(sys.prefix) / "bin"
    run("sh", ROOT / ".ci" / "uv", sys.prefix, "tool", *words, folder=ROOT, path=own, **variables)


def test_with_pipx_a_project_runs_and_its_tests_get_an_environment_of_their_own(wheel, tmp_path):
    install_with_pipx(wheel, tmp_path)
    bin = tmp_path / "bin"
    (project := tmp_path / "new").mkdir()
    enter, run_it = first_commands(project, bin)
    assert "pip install --find-links wheels --editable '.[test]' && pytest" in enter
    told = run("sh", "-ec", run_it, folder=project / "churn", path=bin)
    assert "result.accepted  yes" in told


def install_with_pipx(wheel: Path, folder: Path) -> None:
    """With uv behind it, as pipx does where uv is on the PATH; pip would take a minute longer."""
    places = {
        "PIPX_HOME": str(folder / "home"),
        "PIPX_BIN_DIR": str(folder / "bin"),
        "PIPX_MAN_DIR": str(folder / "man"),
    }
    uv("run", "pipx", "install", "--python", str(python(OLDEST)), f"{wheel}[embedded]", **places)
