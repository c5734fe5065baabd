"""The files of the monitoring: they fit each other, the Compose stack, and what Flower tells."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
import yaml
from flower.events import EventsState
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "docker" / "prometheus"
GRAFANA = ROOT / "docker" / "grafana"

#: Metrics by which Prometheus tells of its own work.
OWN = {"up", "ALERTS"}


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in read(PROMETHEUS / file)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard: dict[str, Any] = json.loads((GRAFANA / "dashboard.json").read_text())
    return list(dashboard["panels"])


def expressions() -> dict[str, str]:
    """All PromQL there is, by what it is for."""
    recorded = {rule["record"]: rule["expr"] for rule in rules("rules.yml")}
    alerts = {f"{rule['alert']} {rule['labels']}": rule["expr"] for rule in rules("alerts.yml")}
    shown = {panel["title"]: target["expr"] for panel in panels() for target in panel["targets"]}
    return {**recorded, **alerts, **shown}


def metrics_in(expression: str) -> set[str]:
    """The metrics that it names."""
    return set(re.findall(r"\b(?:up|ALERTS|flower_\w+|\w+:\w+:\w+)\b", re.sub('"[^"]*"', "", expression)))


@pytest.fixture(scope="module")
def told() -> set[str]:
    """The metrics that the installed Flower tells of a worker that ran a task."""
    state = EventsState(max_tasks_in_memory=10)
    now = {"hostname": "data@here", "timestamp": time(), "local_received": time(), "utcoffset": 0, "pid": 1}
    task = {**now, "uuid": "1", "clock": 1}
    state.event({**now, "type": "worker-heartbeat", "clock": 1, "active": 1, "freq": 2})
    state.event({**task, "type": "task-received", "name": "a.stage", "args": "()", "kwargs": "{}"})
    state.event({**task, "type": "task-started"})
    state.event({**task, "type": "task-succeeded", "runtime": 1.0, "result": "committed"})
    return {sample.name for metric in REGISTRY.collect() for sample in metric.samples}


@pytest.mark.parametrize("name", expressions())
def test_alerts_and_panels_ask_for_what_flower_tells(told: set[str], name: str) -> None:
    asked = metrics_in(expressions()[name])
    assert asked
    assert asked <= told | OWN | {rule["record"] for rule in rules("rules.yml")}


def test_prometheus_finds_flower_and_its_password() -> None:
    (job,) = read(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    services = read(ROOT / "docker-compose.yml")["services"]
    (port,) = (word.partition("=")[2] for word in services["flower"]["command"] if word.startswith("--port="))
    assert job["static_configs"] == [{"targets": [f"flower:{port}"]}]
    for service in ("flower", "prometheus"):
        assert "flower_password" in services[service]["secrets"]
    assert job["basic_auth"]["password_file"] == "/run/secrets/flower_password"  # noqa: S105 - a path
    assert services["flower"]["environment"]["FLOWER_PASSWORD_FILE"] == job["basic_auth"]["password_file"]


def test_the_rules_that_prometheus_reads_are_there() -> None:
    names = read(PROMETHEUS / "prometheus.yml")["rule_files"]
    assert set(names) == {file.name for file in PROMETHEUS.glob("*.yml")} - {"prometheus.yml"}


def test_each_queue_that_the_stack_serves_has_an_alert() -> None:
    services = read(ROOT / "docker-compose.yml")["services"]
    served = {service["command"][2] for name, service in services.items() if name.endswith("-worker")}
    watched = [rule["labels"]["queue"] for rule in rules("alerts.yml") if rule["alert"] == "NoWorker"]
    assert sorted(watched) == sorted(served)
    for rule in rules("alerts.yml"):
        if rule["alert"] == "NoWorker":
            assert f'queue="{rule["labels"]["queue"]}"' in rule["expr"]


def test_each_panel_asks_the_source_that_grafana_is_given() -> None:
    (source,) = read(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    asked = [panel["datasource"] for panel in panels()]
    asked += [target["datasource"] for panel in panels() for target in panel["targets"]]
    assert all(one == {"type": "prometheus", "uid": source["uid"]} for one in asked)


def test_grafana_finds_the_dashboard() -> None:
    (provider,) = read(GRAFANA / "provisioning" / "dashboards" / "dashboards.yml")["providers"]
    place = f"{provider['options']['path']}/dashboard.json"
    grafana = read(ROOT / "docker-compose.yml")["services"]["grafana"]
    assert f"./docker/grafana/dashboard.json:{place}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == place


def test_no_two_panels_share_a_number_or_a_place() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    cells = [cell for panel in panels() for cell in covered(panel["gridPos"])]
    assert len(set(cells)) == len(cells)


def covered(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for row in range(place["y"], place["y"] + place["h"]):
        for column in range(place["x"], place["x"] + place["w"]):
            assert column < 24
            yield row, column


def test_every_secret_that_the_stack_needs_is_made(tmp_path: Path) -> None:
    file = tmp_path / "env"
    subprocess.run(["sh", ROOT / "docker" / "write-env", file], check=True, capture_output=True)
    lines = file.read_text().splitlines()
    made = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    needed = re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text())
    assert set(needed) <= set(made)
    assert len(made) == len(set(made))
