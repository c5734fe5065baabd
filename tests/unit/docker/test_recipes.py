"""What the files for containers promise each other, and what the handbook says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.runs.keys import BACKLOG
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
HANDBOOK = (ROOT / "docs" / "operations.md").read_text()
OPEN = (ROOT / "docker" / "open.yml").read_text()


def default_of(variable: str) -> str:
    found = re.search(rf"\$\{{{variable}:-([^}}]*)\}}", COMPOSE)
    assert found, f"docker-compose.yml has no default for {variable}"
    return found[1]


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\$\{([A-Z_]+)", COMPOSE + OPEN))))
def test_the_handbook_says_what_each_variable_does(variable):
    assert f"`{variable}`" in HANDBOOK


def test_each_setting_gets_into_the_containers():
    inside = yaml.safe_load(COMPOSE)["services"]["training-worker"]["environment"]
    for field in set(Settings.model_fields) - {"home"}:  # of the local stack
        name = field.upper()
        assert {name, f"{name}_FILE", f"ORCHESTRATOR_{name}"} & set(inside), field


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\bORCHESTRATOR_[A-Z_]+", HANDBOOK))))
def test_the_handbook_names_only_settings_that_there_are(variable):
    field = variable.removeprefix("ORCHESTRATOR_").lower()
    assert field in Settings.model_fields or variable == "ORCHESTRATOR_IMAGE"


def test_docker_waits_longer_for_a_worker_than_the_worker_for_its_stages():
    grace = float(default_of("ORCHESTRATOR_GRACE_SECONDS"))
    assert float(default_of("STOP_GRACE_PERIOD").removesuffix("s")) >= grace + 5


def test_kubernetes_waits_longer_for_a_worker_than_the_worker_for_its_stages():
    text = (ROOT / "docker" / "kubernetes" / "training-worker.yml").read_text()
    deployment, scaling = yaml.safe_load_all(text)
    pod = deployment["spec"]["template"]["spec"]
    grace = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}[
        "ORCHESTRATOR_GRACE_SECONDS"
    ]
    assert pod["terminationGracePeriodSeconds"] >= float(grace) + 5
    assert pod["securityContext"]["runAsNonRoot"]
    image = (ROOT / "docker" / "Dockerfile").read_text()
    assert re.search(r"^USER \d+:\d+$", image, flags=re.MULTILINE), "kubelet cannot tell who a name is"
    assert scaling["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    *_, queue, _, _ = pod["containers"][0]["command"]
    assert scaling["spec"]["triggers"][0]["metadata"]["listName"] == BACKLOG.format(queue=queue)


def test_each_service_is_hardened_and_has_its_limits():
    for name, service in yaml.safe_load(COMPOSE)["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert {"mem_limit", "cpus", "healthcheck", "stop_grace_period", "logging"} <= set(service), name
