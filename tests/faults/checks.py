"""What has to hold once a run has ended, whatever hit it: each breach in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.authoring.graph import JSON, NodeName, group_and_index
from orchestrator.messaging.priorities import lists_of
from orchestrator.run_id import RunId
from orchestrator.runs.keys import ALL_RUNS, UNFINISHED_RUNS, RunKeys
from orchestrator.runs.record import RunRecord
from orchestrator.settings import settings
from tests.harness.waiting import holds

from .recorded import wrong_in_mlflow, wrong_values
from .rig import QUEUES, Rig

#: Faults that cost at most the attempts that they interrupt; others cost none.
COSTLY = (
    "kill_child",
    "kill_worker",
    "pause_worker",
    "restart_redis",
    "redis_away",
    "redis_forgets",
    "cut_connection",
)


#: Faults whose victims leave behind what they were writing; nobody else knows of it.
KILLING = {"kill_child", "kill_worker"}


def breaches(
    rig: Rig, run: RunId, expected: Mapping[str, JSON], faults: list[str], scratch: frozenset[str]
) -> list[str]:
    """All that does not hold of a run that has ended; `scratch` are temporary files from before it began."""
    record = rig.reader.read(run, rig.prepared.graph)
    return [
        *wrong_values(record, expected),
        *_commits(rig, run, record),
        *_manifests(rig, run, record),
        *_executions(run, record, sum(fault in COSTLY for fault in faults)),
        *_leftovers(rig, run),
        *_mlflow(record),  # after all messages: what a paused attempt wrote late is cleared by one
        *(() if KILLING & set(faults) else _scratch(rig, scratch)),
    ]


def _commits(rig: Rig, run: RunId, record: RunRecord) -> Iterator[str]:
    events = rig.reader.events(run)
    committed = Counter(event.node for event in events if event.state == "succeeded")
    for node in record.nodes:
        if committed[node.name] > 1:
            yield f"{node.name} was committed {committed[node.name]} times"
    if committed[""] != 1:
        yield f"the run ended {committed['']} times"


def _manifests(rig: Rig, run: RunId, record: RunRecord) -> Iterator[str]:
    for node in record.nodes:
        map, index = group_and_index(NodeName(node.name))
        if index is None:
            committed = Manifest.read(rig.store, run, node.name) is not None
        else:
            committed = index in read_items(rig.store, run, map).outputs
        if not committed:
            yield f"{node.name} has no manifest"


def _executions(run: RunId, record: RunRecord, costly: int) -> Iterator[str]:
    for node in record.nodes:
        lines = settings().home / "executions" / run / node.name
        times = len(lines.read_text().splitlines()) if lines.exists() else 0
        if not times:
            yield f"{node.name} never ran"
        elif times > 1 + costly:
            yield f"{node.name} ran {times} times, with {costly} faults that may cost an attempt"


def _mlflow(record: RunRecord) -> Iterator[str]:
    from mlflow import MlflowClient

    yield from wrong_in_mlflow(MlflowClient(settings().tracking_uri), record)


def _endless(rig: Rig) -> list[str]:
    """Keys of which Redis would never rid itself."""
    keys = map(str, rig.client.scan_iter())
    return [key for key in keys if not _may_stay(key) and rig.client.ttl(key) == -1]


def _leftovers(rig: Rig, run: RunId) -> Iterator[str]:
    keys = RunKeys(run)
    if not holds(lambda: not _broker_keys(rig), 15):
        yield f"messages are left: {_broker_keys(rig)}"
    if not holds(lambda: not _endless(rig), 15):  # a conclusion may come once more, and go
        yield f"keys would stay for ever: {_endless(rig)}"
    if run in (*rig.reader.open_runs(), *rig.reader.unconcluded_runs()):
        yield "the run is still listed as one to look after"
    for what, key in (("leases", keys.leases), ("due nodes", keys.due), ("missing needs", keys.missing)):
        if rig.client.exists(key):
            yield f"{what} are left"


def _scratch(rig: Rig, before: frozenset[str]) -> Iterator[str]:
    if not holds(lambda: rig.scratch_files() <= before, 5):
        yield f"temporary files are left: {sorted(rig.scratch_files() - before)}"


def _may_stay(key: str) -> bool:
    """Whether a key lives as long as Redis: the lists of runs, and kombu's of its queues."""
    return key in (ALL_RUNS, UNFINISHED_RUNS) or key.startswith("_kombu.")


def _broker_keys(rig: Rig) -> list[str]:
    queues = [each for queue in QUEUES.split(",") for each in lists_of(queue)]
    return [key for key in ("unacked", "unacked_index", *queues) if rig.client.exists(key)]
