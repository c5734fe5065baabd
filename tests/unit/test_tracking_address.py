"""MLflow's address: SQLite files of any name, and no proxy in front of this machine itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from orchestrator.tracking_address import never_proxy_loopback, sqlite_file, sqlite_url


@pytest.mark.parametrize("name", ["plain", "a b", "a%2Fb", "100%", "what?", "a#b", "données", "x&y=1"])
def test_a_sqlite_url_means_this_very_file(name: str) -> None:
    file = Path(f"/home/{name}/mlflow.db")
    assert sqlite_file(sqlite_url(file)) == file
    assert make_url(sqlite_url(file)).database == str(file)


def test_other_addresses_have_no_file() -> None:
    assert sqlite_file("http://localhost:5000") is None
    assert sqlite_file("sqlite:///") is None
    assert sqlite_file("sqlite:////tmp/a%2Fb.db?timeout=3") == Path("/tmp/a/b.db")  # noqa: S108 - not opened


@pytest.mark.parametrize("proxy", ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_loopback_is_not_proxied(proxy: str) -> None:
    environment = {proxy: "http://proxy:3128", "NO_PROXY": "intranet, localhost"}
    never_proxy_loopback(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet,localhost,127.0.0.1,::1"


@pytest.mark.parametrize("environment", [{}, {"no_proxy": "x"}, {"http_proxy": "http://p", "no_proxy": "*"}])
def test_an_environment_without_need_stays(environment: dict[str, str]) -> None:
    before = dict(environment)
    never_proxy_loopback(environment)
    assert environment == before
