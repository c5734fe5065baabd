"""Whose output counts, as the store tells it without the run's specification."""

from __future__ import annotations

import pytest

from orchestrator.archive.manifest import Manifest, write_items
from orchestrator.archive.rounds import Round
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import NodeName
from orchestrator.run_id import RunId
from orchestrator.runs.values import FencingNumber
from workers.runtime.conclude import attempt_of

RUN = RunId("some-20261124-031502-0000")
FIT = NodeName("fit")


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore("memory:///")


def committed(store: ArtifactStore, name: str, *, round: int, attempt: int) -> None:
    Manifest(node=FIT, round=round, attempt=attempt, output={"v": 1}).write(store, RUN, name)


def test_the_first_attempt_that_wrote_the_output_counts(store: ArtifactStore) -> None:
    committed(store, "fit", round=0, attempt=3)
    committed(store, "fit", round=0, attempt=4)
    assert attempt_of(RUN, Round(), store, "fit") == (0, 3)
    assert attempt_of(RUN, Round(2), store, "fit") == (0, 3)


def test_of_a_node_that_ran_again_the_later_output_counts(store: ArtifactStore) -> None:
    committed(store, "fit", round=0, attempt=1)
    committed(store, "fit@2", round=2, attempt=5)
    assert attempt_of(RUN, Round(3, redone={FIT: 2}), store, "fit") == (2, 5)


def test_a_handler_has_an_output_for_each_round(store: ArtifactStore) -> None:
    committed(store, "fit", round=0, attempt=1)
    committed(store, "fit@1", round=1, attempt=2)
    assert attempt_of(RUN, Round(1), store, "fit") == (1, 2)


def test_a_handler_whose_code_has_changed_has_its_own_output(store: ArtifactStore) -> None:
    committed(store, "fit@1", round=1, attempt=2)
    committed(store, "fit@1@1", round=1, attempt=3)
    assert attempt_of(RUN, Round(1, redone={FIT: 1}), store, "fit") == (1, 3)


def test_of_an_item_the_highest_attempt_counts(store: ArtifactStore) -> None:
    write_items(store, RUN, "fit", FencingNumber(0, 1), "a", {0: {"v": 1}, 1: {"v": 1}})
    write_items(store, RUN, "fit", FencingNumber(0, 2), "b", {1: {"v": 2}})
    assert attempt_of(RUN, Round(), store, "fit[0]") == (0, 1)
    assert attempt_of(RUN, Round(), store, "fit[1]") == (0, 2)
    assert attempt_of(RUN, Round(), store, "fit[2]") is None


def test_what_cannot_be_read_counts_as_not_committed(store: ArtifactStore) -> None:
    store.write(f"runs/{RUN}/nodes/fit.json", b"not JSON")
    assert attempt_of(RUN, Round(), store, "fit") is None
    assert attempt_of(RUN, Round(), store, "unknown") is None
