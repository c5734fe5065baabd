"""The digits pipeline: its stages as plain functions, its graph, and two whole runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import InvalidData
from pipelines.digits import CANDIDATES, digits, extract, features, score, select, split, validate
from workers.training import Candidate


def test_there_is_a_row_for_each_image() -> None:
    assert extract().shape == (1797, 65)


def test_good_images_pass_the_validation() -> None:
    images = extract()
    assert validate(images) is images


def test_all_broken_rules_are_told_in_one_line() -> None:
    images = extract().query("digit != 7")
    images.iloc[0, 0] = 17.0
    with pytest.raises(
        InvalidData, match=r"break 2 of 4 rules: a pixel is from 0 to 16; every digit is there"
    ) as caught:
        validate(images)
    assert "\n" not in str(caught.value)


def test_each_digit_keeps_its_share_in_both_parts() -> None:
    parts = split(extract(), test_fraction=0.25, seed=0)
    assert len(parts.test.target) == 450
    assert (parts.test.target.value_counts() - parts.train.target.value_counts() / 3).abs().max() < 2


def test_the_same_seed_gives_the_same_parts() -> None:
    one, other = (split(extract(), test_fraction=0.5, seed=3) for _ in range(2))
    assert one.train.inputs.equals(other.train.inputs)


def test_features_are_shares_of_ink() -> None:
    pixels = features(split(extract(), test_fraction=0.5, seed=0).train).inputs
    assert (pixels.min(axis=None), pixels.max(axis=None)) == (0.0, 1.0)


def test_a_candidate_gets_the_same_score_for_the_same_seed() -> None:
    train = features(split(extract(), test_fraction=0.5, seed=0).train)
    candidate = Candidate("neighbours", {"n_neighbors": 3})
    one, other = (score(candidate, train, folds=3, seed=0) for _ in range(2))
    assert one == other
    assert one.mean > 0.9


def test_the_best_candidate_is_selected() -> None:
    train = features(split(extract(), test_fraction=0.5, seed=0).train)
    rivals = [Candidate("svm", {"C": 1e-6}), Candidate("neighbours", {"n_neighbors": 3})]
    assert select([score(rival, train, folds=3, seed=0) for rival in rivals]) == rivals[1]


def test_candidates_of_two_families_are_fanned_out_over_training_workers() -> None:
    graph = digits.graph()
    assert graph["score"].known_length == len(CANDIDATES)
    assert {candidate.family for candidate in CANDIDATES} == {"svm", "neighbours"}
    assert {node.name for node in graph if node.policy.queue == "training"} == {
        "score",
        "select",
        "refit",
        "evaluate",
    }


def test_only_what_passes_the_gate_is_released() -> None:
    graph = digits.graph()
    (condition,) = graph["register"].conditions
    assert str(condition) == "gate.passed"
    assert set(graph.descendants(graph["register"].name)) == {"promote", "verify"}


def test_a_first_run_promotes_a_model_and_a_second_one_leaves_it_in_place(
    run_pipeline: Callable[..., dict[str, Any]],
) -> None:
    first = run_pipeline(digits)
    assert first["evaluate"].score >= 0.95
    assert first["refit"].uri.startswith("models:/m-")
    assert first["promote"].version == 1
    assert first["verify"] == ("digits", 1, 450)

    second = run_pipeline(digits)
    assert not second["gate"].passed
    assert "does not beat the champion's" in second["gate"].reason
    assert not {"register", "promote", "verify"} & set(second)


def test_a_model_below_the_minimum_is_not_promoted(run_pipeline: Callable[..., dict[str, Any]]) -> None:
    run = run_pipeline(digits, minimum_accuracy=0.999)
    assert "below the required 0.999" in run["gate"].reason
    assert "promote" not in run
