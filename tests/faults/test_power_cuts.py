"""Power cuts: what the model of a disk keeps, what the store promises, and a few cuts of a whole stack."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.archive.outbox import outboxes
from orchestrator.archive.run_record import read_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import AlteredArtifact, ArtifactStore
from orchestrator.run_id import RunId

from .disk import Watch, survivor, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

ROOT = Path(__file__).parents[2]
RUN = RunId("run-20260101-000000-0000")
T = TypeVar("T")


class Worst(random.Random):
    """Of all that may be left after a power cut, the least."""

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        return seq[0]


@pytest.fixture
def power_cut_after(tmp_path: Path) -> Callable[[str], Path]:
    """Run a program in a folder `root`, watched; the folder as the worst of power cuts leaves it."""
    root = tmp_path / "root"
    root.mkdir()
    watch = Watch.begin(root, tmp_path / "notes")

    def cut(program: str) -> Path:
        environment = {**os.environ, **watch.environment, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
        done = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, timeout=60)
        assert done.returncode == 0
        watch.cut(Worst())
        return root

    return cut


def test_only_what_was_flushed_is_left(power_cut_after: Callable[[str], Path]) -> None:
    root = power_cut_after(
        """
import os
def write(name, text, *, flush):
    with open(name, "a") as file:
        file.write(text)
        file.flush()
        if flush:
            os.fsync(file.fileno())
def flush_folder():
    os.fsync(os.open(".", os.O_RDONLY))
write("half", "kept", flush=True)
write("half", " and lost", flush=False)
write("renamed.new", "lost", flush=False)
os.rename("renamed.new", "renamed")
write("linked.new", "kept", flush=True)
os.link("linked.new", "linked")
os.unlink("linked.new")
flush_folder()
os.mkdir("folder")
write("folder/file", "kept, but nobody knows where", flush=True)
os.unlink("half")
"""
    )
    left = {path.name: path.read_text() for path in root.iterdir()}
    assert left == {"half": "kept", "renamed": "", "linked": "kept"}


def test_what_was_written_since_may_be_left_in_any_part() -> None:
    found = {survivor(b"ab", b"abcd", random.Random(seed)) for seed in range(200)}
    assert found == {b"ab", b"abc", b"abcd", b"abc\0", b"ab\0\0"}


WORKER = """
from datetime import UTC, datetime
from orchestrator.messaging.app import app
from orchestrator.archive.run_record import write_final
from orchestrator.archive.manifest import Manifest, write_items
from orchestrator.archive.outbox import Outbox
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import Constant, Graph, Node, NodeName, Output, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.run_id import RunId
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import RunState
from orchestrator.runs.values import FencingNumber
from orchestrator.settings import Settings
from workers.runtime.run_context import RunContext
from workers.runtime.resources import WorkerResources

RUN = RunId("run-20260101-000000-0000")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = RunRecord(id=RUN, pipeline="pipeline", state=RunState.SUCCEEDED, parameters={}, submitted=NOW,
                   started=NOW, ended=NOW, mlflow_run_id=None, error=None, nodes=())

def node(name, *needs, items=0):
    varying = {"value": Constant([0] * items)} if items else {}
    inputs = {f"input{number}": Output(NodeName(need)) for number, need in enumerate(needs)}
    policy = Policy(queue="data")
    return Node(name=NodeName(name), stage=StageName("s"), policy=policy, inputs=inputs, varying=varying)

nodes = (node("cheap"), node("many", items=3), node("dear", "cheap", "many"), node("other"))
graph = Graph("pipeline", nodes)
resources = WorkerResources(Settings(store="store"), None)
store = resources.store
context = RunContext(Specification(run=RUN, graph=graph, parameters={}, submitted=NOW), app)
VALUE = {"codec": "json", "value": 1}

def commit(name, flush=False):
    Manifest(node=name, attempt=1, output=VALUE).write(store, RUN, flush=flush)
"""

COMMITS = """
context.specification.write(store)
commit("cheap")
write_items(store, RUN, "many", FencingNumber(0, 1), "token", {0: VALUE, 1: VALUE})
write_items(store, RUN, "many", FencingNumber(0, 1), "alone", {2: VALUE})
commit("other")
"""


def test_dear_work_is_kept_with_all_that_it_was_made_from(power_cut_after: Callable[[str], Path]) -> None:
    root = power_cut_after(
        f"{WORKER}\n{COMMITS}\n"
        "resources.flush_needs(context, context.node_ref('dear'))\ncommit('dear', flush=True)"
    )
    store = ArtifactStore(str(root / "store"))
    assert Manifest.read(store, RUN, "cheap") is not None
    assert set(read_items(store, RUN, "many").outputs) == {0, 1, 2}
    assert Manifest.read(store, RUN, "dear") is not None
    with pytest.raises(AlteredArtifact):  # nothing was promised of it
        Manifest.read(store, RUN, "other")


def test_all_of_a_run_is_kept_once_it_is_written_down(power_cut_after: Callable[[str], Path]) -> None:
    root = power_cut_after(
        f"{WORKER}\n{COMMITS}\nresources.flush_outputs(RUN)\nwrite_final(store, RECORD, {{}})"
    )
    store = ArtifactStore(str(root / "store"))
    assert Specification.read(store, RUN).run == RUN
    assert Manifest.read(store, RUN, "other") is not None
    assert read_final(store, RUN) is not None


def test_what_waits_for_mlflow_is_kept(power_cut_after: Callable[[str], Path]) -> None:
    keeps = "Outbox(run=RUN, node='a', attempt=1, subject={}, entries=['kept']).write(store)"
    root = power_cut_after(f"{WORKER}\n{keeps}")
    (outbox,) = outboxes(ArtifactStore(str(root / "store")), RUN)
    assert outbox.entries == ["kept"]


def test_artifacts_in_a_folder_are_kept_when_mlflow_has_them(power_cut_after: Callable[[str], Path]) -> None:
    root = power_cut_after(
        """
import shutil
from pathlib import Path
from workers.tracking.flushing import flush_artifacts
def log(folder):
    path = Path("artifacts", folder, "model")
    (path / "more").mkdir(parents=True)
    for name in ("MLmodel", "more/model.skops"):
        (path / name).write_text("kept")
log("of a run")
log("lost")
flush_artifacts(Path("artifacts/of a run").absolute().as_uri())
"""
    )
    left = {
        str(path.relative_to(root / "artifacts")): path.read_text()
        for path in root.rglob("*")
        if path.is_file()
    }
    assert left == {
        "of a run/model/MLmodel": "kept",
        "of a run/model/more/model.skops": "kept",
        "lost/model/MLmodel": "",
        "lost/model/more/model.skops": "",
    }


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.timeout(600)
def test_a_stack_survives_power_cuts() -> None:
    command = [sys.executable, "-m", "tests.faults.power_cuts", "--cuts", "3", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
