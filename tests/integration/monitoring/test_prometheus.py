"""A real Prometheus reads a real Flower: each panel of the dashboard has data, and the alerts are told."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from orchestrator.stack.ports import LOOPBACK, free_port
from tests.harness.flower import PASSWORD, Flower, answers, fetch
from tests.harness.services import ROOT, start
from tests.harness.waiting import wait_until

HERE = Path(__file__).parent
CONFIGURATION = ROOT / "docker" / "prometheus"

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs prometheus and promtool on the PATH (Debian has both in its package prometheus)",
)


def panels() -> dict[str, str]:
    """What each panel of the dashboard asks, by its title."""
    dashboard = json.loads((ROOT / "docker" / "grafana" / "dashboard.json").read_text())
    return {panel["title"]: panel["targets"][0]["expr"] for panel in dashboard["panels"]}


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that reads our Flower."""

    url: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        answer = json.loads(fetch(f"{self.url}/api/v1/query?{urlencode({'query': expression})}"))
        return list(answer["data"]["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Its rules, and what has become of them."""
        groups = json.loads(fetch(f"{self.url}/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
def prometheus(flower: Flower, tmp_path: Path) -> Iterator[Prometheus]:
    """The stack's configuration, with our Flower's address and less patience."""
    folder = tmp_path / "prometheus"
    shutil.copytree(CONFIGURATION, folder)
    (folder / "password").write_text(PASSWORD)
    configuration = yaml.safe_load((folder / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = configuration["scrape_configs"]
    job["static_configs"] = [{"targets": [f"{LOOPBACK}:{flower.port}"]}]
    job["basic_auth"]["password_file"] = str(folder / "password")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"{LOOPBACK}:{free_port(9190)}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}"]
    service = start([*command, f"--storage.tsdb.path={tmp_path / 'tsdb'}"], tmp_path / "prometheus.log", {})
    wait_until(lambda: answers(f"http://{address}/-/ready"), "Prometheus is ready")
    yield Prometheus(f"http://{address}")
    service.stop()


@pytest.mark.slow
def test_each_panel_has_data_of_a_run_and_its_failure_is_told(
    prometheus: Prometheus, fail_a_run: Callable[[], str]
) -> None:
    fail_a_run()
    for title, expression in panels().items():
        wait_until(partial(prometheus.ask, expression), f"the panel {title!r} has data", 20)
    finished = prometheus.ask(panels()["Finished per minute, by stage"])
    assert [series["metric"]["task"] for series in finished] == ["monitored_stages.succeed"]
    failed = prometheus.ask('queue_task_type:flower_events:increase5m{type="task-failed"}')
    counts = {(one["metric"]["queue"], one["metric"]["task"]): one["value"][1] for one in failed}
    assert counts == {
        ("data", "monitored_stages.fail_after_retry"): "1",
        ("data", "monitored_stages.fail_at_once"): "1",
    }
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
    told = 'ALERTS{alertname="StageFailed",alertstate="firing"}'
    wait_until(lambda: len(prometheus.ask(told)) == 2, "both failures are told", 20)
    # The cluster's worker serves all queues, but its name says `data`
    missed = 'count by (queue) (ALERTS{alertname="NoWorker"})'
    wait_until(
        lambda: {one["metric"]["queue"] for one in prometheus.ask(missed)} == {"training", "deployment"},
        "the queues without a worker are told",
        20,
    )


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls promtool in a folder with the configuration and the tests of the rules."""
    for file in (*CONFIGURATION.iterdir(), HERE / "alerts.test.yml"):
        shutil.copy(file, tmp_path)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def test_the_configuration_is_in_order(check: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = check("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_tell_what_they_should(check: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = check("test", "rules", "alerts.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
