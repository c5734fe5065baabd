"""How MLflow is addressed: a SQLite file by its URL, a server here without a proxy."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import unquote

_SQLITE = "sqlite:///"

#: What libraries look for; curl and its kin take the lower-case ones first.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


#: What MLflow has in a home folder, or beside its own SQLite file: the file, and the folder of artifacts.
MLFLOW_FILE, MLFLOW_ARTIFACTS = "mlflow.db", "mlartifacts"


def local_tracking_uri(home: Path) -> str:
    """The address of the MLflow in `home`."""
    return sqlite_url(home / MLFLOW_FILE)


def local_artifact_root(home: Path) -> str:
    """Where new experiments of the MLflow in `home` keep their files."""
    return (home / MLFLOW_ARTIFACTS).as_uri()


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite database; `%` and `?` in its path would mean something else there."""
    return _SQLITE + str(file).replace("%", "%25").replace("?", "%3F")


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database's URL; None for another address, or a database in memory."""
    if not url.startswith(_SQLITE):
        return None
    path = unquote(url.removeprefix(_SQLITE).partition("?")[0])
    return Path(path) if path else None


def never_proxy_loopback(environment: MutableMapping[str, str]) -> None:
    """Let HTTP clients ask this machine itself, where a proxy is set for what is further away."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return
    given = next((environment[name] for name in _EXCEPTIONS if environment.get(name)), "")
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" in hosts:
        return
    hosts += [host for host in _LOOPBACK if host not in hosts]
    environment.update(dict.fromkeys(_EXCEPTIONS, ",".join(hosts)))
