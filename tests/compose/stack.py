"""One start of docker-compose.yml, with secrets, ports and volumes of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.authoring.graph import NodeName, group_and_index
from orchestrator.stack.ports import free_port
from tests.harness.waiting import holds

ROOT = Path(__file__).parents[2]
PIPELINES = Path(__file__).parent / "pipelines"

#: Smaller machines than by default, so that all of them fit on a small host.
SIZES = {
    "TRAINING_CPUS": "1",
    "DATA_CPUS": "1",
    "MLFLOW_CPUS": "1",
    "TRAINING_MEMORY": "1g",
    "DATA_MEMORY": "2g",
    "ORCHESTRATOR_GRACE_SECONDS": "20",
    "STOP_GRACE_PERIOD": "30s",
}


class Refused(Exception):
    """A service answered with a status that is an error."""


def docker(*words: str, folder: Path = ROOT, seconds: float = 120, check: bool = True) -> str:
    """What a docker command printed; raises AssertionError with what it said if it failed."""
    done = subprocess.run(
        ["docker", *words], cwd=folder, capture_output=True, text=True, timeout=seconds, errors="replace"
    )
    if check:
        assert done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout if check else done.stdout + done.stderr


@dataclass
class Stack:
    """A project of Compose; `settings` come on top of the secrets that docker/write-env makes."""

    folder: Path
    project: str
    settings: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def env_file(self) -> Path:
        return self.folder / f"{self.project}.env"

    def prepare(self) -> None:
        """Write the file with secrets, the way that the README says, and the settings of these tests."""
        self.write_secrets()
        self.read_secrets()
        self.settings = {
            **SIZES,
            "ORCHESTRATOR_IMAGE": "celery-ml-orchestrator:tested",
            "ORCHESTRATOR_PIPELINES": "pipelines,trials",
            "PIPELINES_FOLDER": str(PIPELINES),
            "EXTRA_PACKAGES": "roman",
            "FLOWER_PORT": str(free_port(15555)),
            "MLFLOW_PORT": str(free_port(15000)),
            "REDIS_PORT": str(free_port(16379)),
            "TRAINING_WORKERS": "3",
        }
        self.change(**self.settings)

    def write_secrets(self) -> None:
        """Make those that there are not, and put all of them into the files that containers read."""
        subprocess.run(["sh", ROOT / "docker" / "write-env", self.env_file], check=True, capture_output=True)

    def read_secrets(self) -> None:
        """Look up the secrets as they are now."""
        lines = self.env_file.read_text().splitlines()
        pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        self.secrets = {name: value for name, value in pairs.items() if name not in self.settings}

    def change(self, **settings: str) -> None:
        """Add to the file; of two lines with one name, the later counts."""
        with self.env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def compose(self, *words: str, seconds: float = 300, check: bool = True) -> str:
        """What a command of Compose printed."""
        project = ["--project-name", self.project, "--env-file", str(self.env_file)]
        return docker("compose", *project, *words, seconds=seconds, check=check)

    def up(self, *, training: int = 1) -> None:
        """Start all services, or bring the training workers to that number; returns when all are healthy."""
        scale = f"training-worker={training}"
        self.compose("up", "--detach", "--wait", "--no-recreate", "--scale", scale, seconds=1500)

    def open(self, address: str) -> None:
        """Publish Redis and MLflow on an address, for workers elsewhere."""
        self.change(OPEN_ADDRESS=address)
        files = ["--file", "docker-compose.yml", "--file", "docker/open.yml"]
        self.compose(*files, "up", "--detach", "--wait")

    def scale(self, training: int) -> None:
        """Bring the training workers to that number, without waiting for those that start."""
        options = ["--no-recreate", "--no-deps", "--scale", f"training-worker={training}"]
        self.compose("up", "--detach", *options, "training-worker")

    def down(self) -> None:
        """Stop everything, and remove what it kept."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    # Its machines

    def machines(self, service: str, *, all: bool = False) -> list[str]:
        """The short ids, which are the host names, of a service's containers that run (or of all)."""
        options = ["--quiet", *(["--all"] if all else [])]
        return [machine[:12] for machine in self.compose("ps", *options, service).split()]

    def inspect(self, machine: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(docker("inspect", machine))
        return found[0]

    def is_healthy(self, machine: str) -> bool:
        state = self.inspect(machine)["State"]
        return bool(state["Running"] and state.get("Health", {}).get("Status") == "healthy")

    # Runs

    def orchestrator(self, *words: str, seconds: float = 300, check: bool = True) -> str:
        """What the command line printed, inside the coordinator's container."""
        return self.compose("exec", "-T", "coordinator", "orchestrator", *words, seconds=seconds, check=check)

    def submit(self, pipeline: str, **parameters: float) -> str:
        """Start a run; returns its id."""
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        reply = self.orchestrator("run", pipeline, *given, "--detach", "--json")
        return str(json.loads(reply.splitlines()[-1])["id"])

    def show(self, run: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.orchestrator("show", run, "--json"))
        return shown

    def wait_for(self, run: str, seconds: float = 120) -> dict[str, Any]:
        """The run once it has ended; fails if it has not in that time."""
        shown: dict[str, Any] = {}

        def has_ended() -> bool:
            shown.update(self.show(run))
            return shown["state"] not in ("pending", "running")

        assert holds(has_ended, seconds), f"{run} has not ended after {seconds} s: {shown}"
        return shown

    def machine_at_work(self, run: str, node: str, seconds: float = 40) -> str:
        """The machine on which a node is running, once it is."""
        found: list[str] = []

        def is_running() -> bool:
            for each in self.show(run)["nodes"]:
                if each["name"] == node and each["state"] == "running" and each["attempts"]:
                    found.append(each["attempts"][-1]["worker"].rpartition("@")[2])
            return bool(found)

        assert holds(is_running, seconds), f"{node} does not run: {self.show(run)}"
        return found[-1]

    # What its services say

    def flower(self, path: str, *, password: str | None = None) -> Any:
        return self._get(f"http://127.0.0.1:{self.settings['FLOWER_PORT']}{path}", "FLOWER", password)

    def mlflow(
        self, path: str, body: Mapping[str, object] | None = None, *, password: str | None = None
    ) -> Any:
        url = f"http://127.0.0.1:{self.settings['MLFLOW_PORT']}/api/2.0/mlflow/{path}"
        return self._get(url, "MLFLOW", password, body)

    def _get(
        self, url: str, service: str, password: str | None, body: Mapping[str, object] | None = None
    ) -> Any:
        """Its answer as JSON; "" as the password is no sign-in at all. Raises Refused with the status."""
        request = urllib.request.Request(url)
        if password != "":
            who = f"{self.secrets[f'{service}_USER']}:{password or self.secrets[f'{service}_PASSWORD']}"
            request.add_header("Authorization", f"Basic {base64.b64encode(who.encode()).decode()}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise Refused(error.code) from error

    def tasks(self, name: str = "") -> list[dict[str, Any]]:
        """The tasks that Flower knows, of one name if one is given."""
        found: dict[str, dict[str, Any]] = self.flower(f"/api/tasks?limit=10000&taskname={name}")
        return list(found.values())


def breaches(stack: Stack, run: Mapping[str, Any]) -> list[str]:
    """What is not once for each node of a run that should have succeeded."""
    # what nobody has logged to before is in MLflow once the run is concluded, after its end
    is_concluded = holds(lambda: stack.show(run["id"])["mlflow_run_id"], 90)
    found = [] if is_concluded else ["the run is not concluded"]
    found += [] if run["state"] == "succeeded" else [f"the run {run['state']}: {run['error']}"]
    found += [f"{node['name']} is {node['state']}" for node in run["nodes"] if node["state"] != "succeeded"]
    kept, models = _in_mlflow(stack, run)
    nested = Counter(node for node in kept.values() if node)
    training = [NodeName(node["name"]) for node in run["nodes"] if node["queue"] == "training"]
    # a map has one, whatever its items log
    wanted = Counter({group_and_index(name)[0]: 1 for name in training})
    if any(nested[name] != 1 for name in wanted) or not nested <= Counter(training) | wanted:
        found.append(f"MLflow holds runs of {dict(nested)} instead of {dict(wanted)} and some items'")
    if list(kept.values()).count("") != 1:
        found.append(f"MLflow holds {list(kept.values()).count('')} runs for the run itself")
    found += [f"{kept[author]} logged {count} models" for author, count in models.items() if count > 1]
    return found


def _in_mlflow(stack: Stack, run: Mapping[str, Any]) -> tuple[dict[str, str], Counter[str]]:
    """The node of each MLflow run, "" for the run's own; and how many models each of them logged."""
    experiment = stack.mlflow(f"experiments/get-by-name?experiment_name={run['pipeline']}")["experiment"]
    search: dict[str, object] = {"experiment_ids": [experiment["experiment_id"]], "max_results": 1000}
    mine = {**search, "filter": f"tags.`orchestrator.run` = '{run['id']}'"}
    kept = {}
    for each in stack.mlflow("runs/search", mine).get("runs", ()):
        tags = {tag["key"]: tag["value"] for tag in each["data"]["tags"]}
        kept[each["info"]["run_id"]] = tags["orchestrator.node"] if "mlflow.parentRunId" in tags else ""
    models = stack.mlflow("logged-models/search", search).get("models", ())
    authors = Counter(model["info"]["source_run_id"] for model in models)
    return kept, Counter({author: count for author, count in authors.items() if author in kept})
