"""What has to hold after a power cut, by what the disk had and what was seen outside: a line per breach."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import JSON
from orchestrator.lifecycle.lost_outputs import lost_work
from orchestrator.lifecycle.progress import progress_of
from orchestrator.run_id import RunId
from orchestrator.runs.record import RunRecord

from .recorded import in_mlflow, node_of, wrong_in_mlflow, wrong_values

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

Calls = Mapping[str, Counter[str]]


@dataclass(frozen=True)
class Before:
    """A run as the power cut left it."""

    run: RunId
    calls: Calls  #: what its nodes had noted outside
    committed: frozenset[str]  #: nodes and items whose outputs the disk has, and all they were made from


def calls_of(folder: Path, run: RunId) -> Calls:
    """What the nodes of a run noted outside of the home, so far."""
    place = folder / run
    return {path.name: Counter(path.read_text().splitlines()) for path in sorted(place.glob("*"))}


def left_of(store: ArtifactStore, run: RunId, calls: Path) -> Before:
    """Look at a run before anything is started again; raises StoreError if its specification is damaged."""
    graph = Specification.read(store, run).graph
    progress = progress_of(run, graph, store, Round.latest(store, run))
    kept = progress.without(lost_work(graph, progress, store))
    return Before(run, calls_of(calls, run), frozenset(kept.outputs))


def lost_promises(before: Before) -> Iterator[str]:
    """What was said to be on the disk, and is not."""
    if "fit-2" in before.calls and "dear" not in before.committed:  # it was made from that
        yield f"{before.run}: dear work is lost, though it was committed"


def done_twice(before: Before, after: Calls) -> Iterator[str]:
    """What the disk had, and was done once more all the same."""
    for node in sorted(before.committed):
        again = after.get(node, Counter())["called"] - before.calls.get(node, Counter())["called"]
        if again:
            yield f"{before.run}: {node} ran {again} times more, though it was committed and on the disk"
    for node, lines in after.items():
        earlier = before.calls.get(node, Counter())
        if earlier["kept"] and lines["acted"] > earlier["acted"]:
            yield f"{before.run}: {node} did outside once more what was kept as done"


def wrong_in_the_end(tracking_uri: str, record: RunRecord, expected: Mapping[str, JSON]) -> Iterator[str]:
    """What is recorded of a run and is not as it should be, and models that are not whole."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    yield from (f"{record.id}: {wrong}" for wrong in wrong_values(record, expected))
    yield from (f"{record.id}: {wrong}" for wrong in wrong_in_mlflow(client, record))
    yield from (f"{record.id}: {wrong}" for wrong in _not_whole(client, record))


def _not_whole(client: MlflowClient, record: RunRecord) -> Iterator[str]:
    found, models = in_mlflow(client, record)
    for each in found:
        node = node_of(each)
        if node and "slope" not in each.data.metrics:
            yield f"MLflow lacks the metric of {node}"
    for model in models:
        yield from _damage(model)


def _damage(model: LoggedModel) -> Iterator[str]:
    from mlflow.models import Model

    from workers.tracking.models import DIGEST, MODEL_FILE

    folder = Path(unquote(urlsplit(model.artifact_location).path))
    try:
        content = (folder / MODEL_FILE).read_bytes()
        description = Model.load(str(folder))
    except Exception as error:  # noqa: BLE001 - YAML that is half there, a file that is not
        yield f"the model of {model.source_run_id} cannot be read: {error!r}"
        return
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != model.tags.get(DIGEST):
        yield f"the file of model {model.model_id} is not what was logged: {len(content)} bytes"
    if description.model_id != model.model_id or not description.signature:
        yield f"the description of model {model.model_id} is not what was logged"
    for path in folder.rglob("*"):
        if path.is_file() and not path.read_bytes().strip(b"\0"):
            yield f"{path.name} of model {model.model_id} is empty"
