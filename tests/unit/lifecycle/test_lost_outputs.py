"""What of a run's finished work counts as lost, by the blobs and manifests that are left of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.archive.manifest import Manifest, StoredItems, put_torn_aside, read_items, write_items
from orchestrator.archive.rounds import Round
from orchestrator.artifacts import AlteredArtifact, ArtifactStore
from orchestrator.artifacts.tree import Tree, digests_in
from orchestrator.authoring.graph import (
    Constant,
    Graph,
    Node,
    NodeName,
    Output,
    StageName,
    group_and_index,
    item_name,
)
from orchestrator.authoring.policies import Policy
from orchestrator.lifecycle.lost_outputs import differences, lost_outputs, lost_work
from orchestrator.lifecycle.progress import progress_of
from orchestrator.run_id import RunId
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState
from orchestrator.runs.values import FencingNumber

RUN = RunId("run-20260101-000000-0000")
FIRST = FencingNumber(round=0, attempt=1)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def name(text: str) -> NodeName:
    return NodeName(text)


def node(own: str, *read: str, each: tuple[str, ...] = (), items: int = 0, after: str = "") -> Node:
    """A node that reads others whole, or a map that reads the items of others one by one."""
    varying = {f"each{number}": Output(name(source)) for number, source in enumerate(each)}
    known = {"value": Constant([0] * items)} if items else {}
    return Node(
        name=name(own),
        stage=StageName("stage"),
        policy=Policy(queue="data"),
        inputs={f"input{number}": Output(name(source)) for number, source in enumerate(read)},
        varying={**known, **varying},
        after=(name(after),) if after else (),
    )


def blob(store: ArtifactStore, text: str) -> Tree:
    return {"codec": "bytes", "digest": store.put(text.encode())}


def done(store: ArtifactStore, *names: str) -> None:
    """Commit these nodes and items, each with a blob of its own."""
    for each in names:
        map, index = group_and_index(name(each))
        if index is None:
            Manifest(node=each, attempt=1, output=blob(store, each)).write(store, RUN)
        else:
            write_items(store, RUN, map, FIRST, f"of {index}", {index: blob(store, each)})


def lose(store: ArtifactStore, text: str) -> None:
    for digest in digests_in(blob(store, text)):
        (Path(store.url) / "blobs/sha256" / digest[7:9] / digest[7:]).unlink()


def lost(store: ArtifactStore, *nodes: Node, latest: Round | None = None) -> set[str]:
    graph = Graph("pipeline", nodes)
    return set(lost_work(graph, progress_of(RUN, graph, store, latest or Round()), store))


def test_nothing_is_lost_of_a_run_whose_blobs_are_there(store: ArtifactStore) -> None:
    done(store, "a", "b")
    assert lost(store, node("a"), node("b", "a"), node("c", "b")) == set()


def test_a_blob_that_is_still_needed_is_missed(store: ArtifactStore) -> None:
    done(store, "a", "b")
    lose(store, "b")
    assert lost(store, node("a"), node("b", "a"), node("c", "b")) == {"b"}


def test_a_blob_that_nothing_needs_any_more_is_not_missed(store: ArtifactStore) -> None:
    done(store, "a", "b")
    lose(store, "a")
    assert lost(store, node("a"), node("b", "a"), node("c", "b", after="a")) == set()


def test_a_lost_node_asks_for_what_it_was_made_from(store: ArtifactStore) -> None:
    done(store, "a", "b")
    lose(store, "a")
    lose(store, "b")
    assert lost(store, node("a"), node("b", "a"), node("c", "b")) == {"a", "b"}


def test_what_was_made_from_a_lost_node_is_made_again(store: ArtifactStore) -> None:
    done(store, "a", "b", "beside")
    lose(store, "a")
    nodes = (node("a"), node("b", "a"), node("beside", after="a"), node("c", "a"))
    assert lost(store, *nodes) == {"a", "b"}


def test_a_lost_item_takes_only_its_own_followers_with_it(store: ArtifactStore) -> None:
    done(store, *(f"{each}[{index}]" for each in ("fit", "score") for index in range(3)), "best")
    lose(store, "fit[1]")
    nodes = (
        node("fit", items=3),
        node("score", each=("fit",)),
        node("best", "score"),
        node("again", each=("fit",)),
    )
    assert lost(store, *nodes) == {"fit[1]", "score[1]", "best"}


def test_an_item_is_needed_only_by_items_that_are_left(store: ArtifactStore) -> None:
    done(store, *(f"fit[{index}]" for index in range(3)), "score[1]")
    lose(store, "fit[1]")
    assert lost(store, node("fit", items=3), node("score", each=("fit",))) == set()
    lose(store, "fit[2]")
    assert lost(store, node("fit", items=3), node("score", each=("fit",))) == {"fit[2]"}


def test_a_manifest_that_was_altered_is_lost_and_so_is_what_was_made_from_it(store: ArtifactStore) -> None:
    done(store, "a", "b")
    path = Path(store.url) / "runs" / RUN / "nodes" / "a.json"
    path.write_bytes(path.read_bytes().replace(b'"bytes"', b'"jyses"'))
    with pytest.raises(AlteredArtifact, match="altered, or cut short") as caught:
        Manifest.read(store, RUN, "a")
    assert "orchestrator resume" in str(caught.value.hint)
    assert lost(store, node("a"), node("b", "a"), node("c", "b")) == {"a", "b"}


@pytest.mark.parametrize("left", ["", "{", "[]", "null", '{"node": "a"}', '{"items": {}}'])
def test_what_is_left_of_a_manifest_is_never_an_output(store: ArtifactStore, left: str) -> None:
    store.write(f"runs/{RUN}/nodes/a.json", left.encode())
    store.write(f"runs/{RUN}/items/fit/0-token.json", left.encode())
    write_items(store, RUN, "fit", FIRST, "other", {1: blob(store, "one")})
    with pytest.raises(AlteredArtifact):
        Manifest.read(store, RUN, "a")
    assert set(read_items(store, RUN, "fit").outputs) == {1}


def tear(store: ArtifactStore, node: str, token: str) -> None:
    """A file of items that a power cut has left half."""
    store.write(f"runs/{RUN}/items/{node}/0-{token}.json", b'{"items": {"0": {"cod')


def test_what_was_made_from_items_that_nobody_knows_any_more_is_made_again(store: ArtifactStore) -> None:
    tear(store, "fit", "torn")
    write_items(store, RUN, "fit", FIRST, "whole", {1: blob(store, "one")})
    done(store, "score[0]", "score[1]", "best", "beside")
    nodes = (node("fit", items=2), node("score", each=("fit",)), node("best", "fit"), node("beside"))
    assert lost(store, *nodes) == {"score[0]", "best"}


def test_items_that_were_made_again_are_not_missed_any_more(store: ArtifactStore) -> None:
    tear(store, "fit", "torn")
    put_torn_aside(store, RUN, "fit")
    write_items(store, RUN, "fit", FIRST, "again", {0: blob(store, "zero"), 1: blob(store, "one")})
    done(store, "best")
    assert lost(store, node("fit", items=2), node("best", "fit")) == set()


def record_of(states: Mapping[str, NodeState]) -> RunRecord:
    """A run that goes on, with nodes in these states."""
    return RunRecord(
        id=RUN,
        pipeline="pipeline",
        state=RunState.RUNNING,
        parameters={},
        submitted=datetime(2026, 1, 1, tzinfo=UTC),
        nodes=tuple(
            NodeRecord(name=each, stage="stage", queue="data", state=state) for each, state in states.items()
        ),
    )


def test_what_has_succeeded_and_left_no_output_is_found(store: ArtifactStore) -> None:
    graph = Graph("pipeline", (node("a"), node("b", "a"), node("fit", items=2)), handlers=(node("tell"),))
    done(store, "a")
    store.write(f"runs/{RUN}/nodes/b.json", b"")
    tear(store, "fit", "torn")
    names = ("a", "b", "fit[0]", "fit[1]", "tell")
    record = record_of(dict.fromkeys(names, NodeState.SUCCEEDED))
    assert lost_outputs(record, graph, store) == {"b", "fit[0]", "fit[1]"}


def test_what_is_stored_and_not_recorded_as_over_is_found(store: ArtifactStore) -> None:
    graph = Graph("pipeline", (node("a"), node("b", "a"), node("c", "b"), node("fit", items=2)))
    done(store, "a", "b", "fit[1]")
    states = {"a": NodeState.SUCCEEDED, "b": NodeState.RUNNING, "c": NodeState.WAITING}
    record = record_of(states)
    assert differences(record, graph, store).forgotten == {"b", "fit[1]"}


def test_what_was_done_again_is_read_and_what_it_replaces_is_not(store: ArtifactStore) -> None:
    first = {index: blob(store, f"first {index}") for index in range(3)}
    write_items(store, RUN, "fit", FIRST, "first", first)
    write_items(store, RUN, "fit@2", FIRST, "second", {1: blob(store, "second 1")})
    graph = Graph("pipeline", (node("fit", items=3), node("score", each=("fit",))))
    latest = Round(2).redoing([name("fit[1]")], 2)
    outputs = progress_of(RUN, graph, store, latest).outputs
    assert outputs[name("fit[0]")] == blob(store, "first 0")
    assert outputs[name("fit[1]")] == blob(store, "second 1")
    whole = latest.redoing([name("fit")], 3)
    assert progress_of(RUN, graph, store, whole).outputs == {}


def test_what_ran_after_a_failure_is_not_done_in_the_next_round(store: ArtifactStore) -> None:
    done(store, "a", "tell")
    graph = Graph("pipeline", (node("a"),), handlers=(node("tell"),))
    assert set(progress_of(RUN, graph, store, Round()).outputs) == {"a"}


def test_an_attempt_that_was_taken_over_changes_no_item_however_late_it_writes(store: ArtifactStore) -> None:
    for index in range(3):
        taken_over = FencingNumber(round=0, attempt=2)
        write_items(store, RUN, "fit", taken_over, f"z{index}", {index: blob(store, f"new {index}")})
    write_items(store, RUN, "fit", FIRST, "a", {index: blob(store, f"stale {index}") for index in range(3)})
    graph = Graph("pipeline", (node("fit", items=3),))
    expected = {index: blob(store, f"new {index}") for index in range(3)}
    assert read_items(store, RUN, "fit").outputs == expected
    outputs = progress_of(RUN, graph, store, Round()).outputs
    assert outputs == {item_name(name("fit"), index): output for index, output in expected.items()}


def test_a_later_round_counts_more_than_any_attempt_before_it(store: ArtifactStore) -> None:
    write_items(store, RUN, "fit", FencingNumber(round=1, attempt=1), "b", {0: blob(store, "second round")})
    write_items(store, RUN, "fit", FencingNumber(round=0, attempt=10), "a", {0: blob(store, "first round")})
    assert read_items(store, RUN, "fit").outputs == {0: blob(store, "second round")}


def test_the_number_of_an_attempt_cannot_be_altered(store: ArtifactStore) -> None:
    write_items(store, RUN, "fit", FIRST, "token", {0: blob(store, "zero")})
    path = Path(store.url) / f"runs/{RUN}/items/fit/0-token.json"
    path.write_bytes(path.read_bytes().replace(b'"attempt":1', b'"attempt":9'))
    assert read_items(store, RUN, "fit") == StoredItems({}, {}, whole=False)
