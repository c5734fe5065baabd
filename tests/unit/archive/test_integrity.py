"""Records of which a power cut or a failing disk has left a half: judged, named, and never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.archive.effects import keep_effect, read_effect
from orchestrator.archive.logs import Line, logged_attempts, read_log, write_log
from orchestrator.archive.manifest import Manifest
from orchestrator.archive.outbox import Outbox, outboxes
from orchestrator.archive.rounds import Round
from orchestrator.archive.run_record import read_final, write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import AlteredArtifact, ArtifactStore
from orchestrator.authoring.graph import JSON, Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.run_id import RunId
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import RunState

RUN = RunId("run-20260101-000000-0000")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRAPH = Graph("pipeline", (Node(name=NodeName("a"), stage=StageName("stage"), policy=Policy(queue="data")),))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def write_all(store: ArtifactStore) -> None:
    Specification(run=RUN, graph=GRAPH, parameters={}, submitted=NOW).write(store)
    Manifest(node="a", attempt=1, output={"codec": "json", "value": 1}).write(store, RUN)
    Round(1, frozenset({NodeName("a")})).write(store, RUN)
    write_log(store, RUN, "a", 1, [Line(NOW, "stdout", "text")])
    write_final(store, RECORD, {})


RECORD = RunRecord(
    id=RUN,
    pipeline="pipeline",
    state=RunState.SUCCEEDED,
    parameters={},
    submitted=NOW,
    started=NOW,
    ended=NOW,
    mlflow_run_id=None,
    error=None,
    nodes=(),
)

READERS: dict[str, Callable[[ArtifactStore], object]] = {
    "specification.json": lambda store: Specification.read(store, RUN),
    "nodes/a.json": lambda store: Manifest.read(store, RUN, "a"),
    "rounds/1.json": lambda store: Round.latest(store, RUN),
    "logs/a/1.jsonl": lambda store: read_log(store, RUN, "a", 1),
    "record.json": lambda store: read_final(store, RUN),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("left", [b"", b"half", b"\0" * 99, b"[" * 99_999], ids=("", "half", "zeros", "deep"))
def test_half_a_record_is_one_clear_error(name: str, left: bytes, store: ArtifactStore) -> None:
    write_all(store)
    assert READERS[name](store) is not None
    key = f"runs/{RUN}/{name}"
    whole = store.read(key) or b""
    store.write(key, whole[: len(whole) // 2] if left == b"half" else left)
    if name.startswith("logs") and not left:
        return  # a log without lines
    with pytest.raises(AlteredArtifact, match="altered, or cut short") as caught:
        READERS[name](store)
    assert key in str(caught.value)


@pytest.mark.parametrize("left", [b"", b'{"key": "mail", "res', b"\0" * 40, b"5", b'{"result": 5}'])
def test_half_a_record_of_an_effect_is_put_aside_and_said(
    left: bytes, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert keep_effect(store, RUN, "a", "mail", "sent") == "sent"
    (key,) = store.keys(f"runs/{RUN}/effects")
    store.write(key, left)
    with caplog.at_level(logging.WARNING):
        assert read_effect(store, RUN, "a", "mail") is None
    assert "'mail' is done again" in caplog.text
    assert store.read(f"{key}.unreadable") == left
    assert keep_effect(store, RUN, "a", "mail", "sent twice") == "sent twice"
    assert read_effect(store, RUN, "a", "mail") == "sent twice"


def test_of_two_that_did_something_at_once_the_first_counts(store: ArtifactStore) -> None:
    assert keep_effect(store, RUN, "a", "mail", "first") == "first"
    assert keep_effect(store, RUN, "a", "mail", "second") == "first"


def test_a_file_of_somebody_elses_among_the_rounds_is_passed_over(store: ArtifactStore) -> None:
    Round(2).write(store, RUN)
    store.write(f"runs/{RUN}/rounds/2.json.bak", b"")
    assert Round.latest(store, RUN).number == 2


@pytest.mark.parametrize("left", [b"", b'{"began": 1, "ent', b"\0" * 40, b"5", b"[" * 9_999])
def test_an_outbox_that_cannot_be_read_is_named(left: bytes, store: ArtifactStore) -> None:
    entries: list[JSON] = [{"kind": "tag"}]
    good = Outbox(run=RUN, node="a", attempt=1, subject={}, entries=entries)
    good.write(store)
    store.write(f"runs/{RUN}/outbox/b/1.json", left)
    store.write(f"runs/{RUN}/outbox/README.md", b"somebody else's")
    kept, bad = outboxes(store, RUN)
    assert kept.entries == good.entries
    assert bad.entries == []
    assert "outbox/b/1.json" in bad.refused[0]


def test_attempts_that_wrote_a_log_are_found_by_node(store: ArtifactStore) -> None:
    for node, attempt in (("fit[0]", 1), ("load", 2), ("load", 10)):
        write_log(store, RUN, node, attempt, [Line(NOW, "stdout", "text")])
    found = {node: sorted(attempts) for node, attempts in logged_attempts(store, RUN).items()}
    assert found == {"fit[0]": [1], "load": [2, 10]}
