"""Registering, judging, promoting, rolling back and loading models."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from orchestrator.authoring.context import Attempt, attempting
from orchestrator.client.models import registry
from orchestrator.runs.errors import LeaseLost
from workers.deployment import (
    NothingToRollBack,
    UnknownModel,
    UnsafeModel,
    champion,
    compare_with_champion,
    load_model,
    promote,
    register,
    rollback,
)

from .conftest import LostLease, attempt_of

NAME = "digits-classifier"


@pytest.fixture
def register_in(tracking, linear, iris):
    """Log and register a model in a node of a run, as a stage would."""

    def register_in(run="run-1", *, node="deploy", model=linear, score=0.9, attempt=1, name=NAME):
        info = attempt_of(node, run_id=run, attempt=attempt)
        with (
            tracking.attempt(info) as tracker,
            attempting(Attempt(run=run, node=node, number=attempt, tracker=tracker)),
        ):
            uri = tracker.log_model(model, example=iris[0])
            return register(uri, name=name, metric="accuracy", score=score)

    return register_in


def versions(client):
    return sorted(int(version.version) for version in client.search_model_versions(f"name = '{NAME}'"))


def test_a_registered_version_is_the_challenger_and_points_to_its_run(register_in, client, runs):
    made = register_in(score=0.91)
    found = client.get_model_version_by_alias(NAME, "challenger")
    assert (made.name, made.version, made.score) == (NAME, 1, 0.91)
    assert made.source_run == runs()["deploy"].info.run_id
    assert int(found.version) == 1
    assert found.tags["orchestrator.run"] == "run-1"
    assert found.tags["orchestrator.node"] == "deploy"
    assert found.tags["orchestrator.metric"] == "accuracy"


def test_registering_the_same_model_again_finds_the_same_version(on_store, tracking, linear, iris, client):
    with tracking.attempt(attempt_of()) as tracker:
        uri = tracker.log_model(linear, example=iris[0])
    with attempting(Attempt(run="run-1", node="deploy")):
        first = register(uri, name=NAME, metric="accuracy", score=0.9)
        second = register(uri, name=NAME, metric="accuracy", score=0.9)
    assert first == second
    assert versions(client) == [1]


def test_a_retry_that_trained_anew_replaces_its_version(register_in, forest, client):
    register_in(attempt=1)
    again = register_in(attempt=2, model=forest)
    assert versions(client) == [again.version]


def test_another_run_makes_another_version(register_in, client):
    register_in("run-1")
    register_in("run-2")
    assert versions(client) == [1, 2]


def test_without_a_champion_the_minimum_decides(on_store):
    good = compare_with_champion(name=NAME, metric="accuracy", score=0.96, minimum=0.95)
    bad = compare_with_champion(name=NAME, metric="accuracy", score=0.91, minimum=0.95)
    assert good.passed
    assert good.reason == "accuracy 0.96 reaches the required 0.95, and there is no champion yet"
    assert not bad.passed
    assert bad.reason == "accuracy 0.91 is below the required 0.95"


@pytest.mark.parametrize(
    ("score", "rule", "passed", "reason"),
    [
        (0.981, {}, True, "accuracy 0.981 beats the champion's 0.972 (version 1)"),
        (0.972, {}, True, "accuracy 0.972 equals the champion's (version 1)"),
        (0.971, {}, False, "accuracy 0.971 does not beat the champion's 0.972 (version 1)"),
        (
            0.975,
            {"margin": 0.01},
            False,
            "accuracy 0.975 does not beat the champion's 0.972 (version 1) by the required 0.01",
        ),
        (
            0.982,
            {"margin": 0.01},
            True,
            "accuracy 0.982 beats the champion's 0.972 (version 1) by the required 0.01",
        ),
        (0.9721234567, {}, True, "accuracy 0.9721 beats the champion's 0.972 (version 1)"),
        (float("nan"), {}, False, "accuracy is not a number"),
    ],
)
def test_a_challenger_is_judged_against_the_champion(register_in, score, rule, passed, reason):
    promote(register_in(score=0.972))
    verdict = compare_with_champion(name=NAME, metric="accuracy", score=score, minimum=0.5, **rule)
    assert (verdict.passed, verdict.reason) == (passed, reason)
    assert (verdict.champion, verdict.champion_version) == ((0.972, 1))


def test_an_error_is_better_when_it_is_smaller(register_in):
    promote(register_in(score=12.5))
    rule: dict[str, Any] = {"name": NAME, "metric": "accuracy", "minimum": 20, "greater_is_better": False}
    assert compare_with_champion(score=11.0, **rule).passed
    assert not compare_with_champion(score=13.0, **rule).passed
    assert compare_with_champion(score=21.0, **rule).reason == "accuracy 21 is above the allowed 20"


def test_a_champion_without_the_metric_cannot_be_compared(register_in):
    promote(register_in())
    verdict = compare_with_champion(name=NAME, metric="f1", score=0.8, minimum=0.7)
    assert verdict.passed
    assert verdict.reason.endswith("the champion (version 1) has no f1 to compare with")


def test_promoting_moves_the_alias_and_remembers_the_former(register_in, client):
    first = promote(register_in("run-1"))
    second = promote(register_in("run-2"))
    assert (first.previous, second.previous) == (None, 1)
    now = champion(NAME)
    assert now is not None
    assert now.version == 2
    found = client.get_model_version(NAME, "2")
    assert found.tags["orchestrator.previous_champion"] == "1"
    assert found.aliases == ["champion"]


def test_promoting_again_says_so_and_changes_nothing(register_in):
    promote(register_in("run-1"))
    version = register_in("run-2")
    promote(version)
    again = promote(version)
    assert not again.changed
    assert again.previous == 1
    assert again.summary == f"version 2 of {NAME} is the champion already"


def test_rolling_back_returns_to_the_former_champion(register_in):
    for run in ("run-1", "run-2", "run-3"):
        promote(register_in(run))
    back = rollback(NAME)
    assert (back.version, back.previous) == (2, 3)
    assert rollback(NAME).version == 1
    with pytest.raises(NothingToRollBack, match="first champion"):
        rollback(NAME)


def test_a_repeated_attempt_to_promote_leaves_a_later_champion(register_in, on_store):
    first = register_in("run-1")
    with attempting(Attempt(run="run-1", node="promote", number=1)):
        promote(first)
    promote(register_in("run-2"))
    with attempting(Attempt(run="run-1", node="promote", number=2)):
        again = promote(first)
    assert (again.changed, again.replaced_by) == (False, 2)
    assert again.summary == f"version 1 of {NAME} stays replaced by version 2"
    assert champion_number() == 2


def test_a_repeated_attempt_to_promote_does_what_the_first_did_not_come_to(register_in, on_store):
    promote(register_in("run-1"))
    second = register_in("run-2")

    def die() -> None:
        raise LeaseLost("stopped right before the alias moves")

    with attempting(Attempt(run="run-2", node="promote", number=1, check=die)), pytest.raises(LeaseLost):
        promote(second)
    assert champion_number() == 1
    with attempting(Attempt(run="run-2", node="promote", number=2)):
        assert promote(second).changed
    assert champion_number() == 2


def test_a_champion_that_was_rolled_back_is_not_promoted_again_by_a_repeated_attempt(register_in, on_store):
    promote(register_in("run-1"))
    second = register_in("run-2")
    with attempting(Attempt(run="run-2", node="promote", number=1)):
        promote(second)
    rollback(NAME)
    with attempting(Attempt(run="run-2", node="promote", number=2)):
        assert not promote(second).changed
    assert champion_number() == 1
    with attempting(Attempt(run="run-3", node="promote", number=1)):
        assert promote(second).changed


def test_a_repeated_attempt_to_roll_back_goes_back_once(register_in, on_store):
    for run in ("run-1", "run-2", "run-3"):
        promote(register_in(run))
    for number in (1, 2):
        with attempting(Attempt(run="run-3", node="verify", number=number)):
            back = rollback(NAME, of=3)
            assert (back.version, back.previous) == (2, 3)
    assert champion_number() == 2


def test_rolling_back_from_a_version_leaves_a_later_champion(register_in, on_store):
    for run in ("run-1", "run-2", "run-3"):
        promote(register_in(run))
    assert not rollback(NAME, of=2).changed
    assert champion_number() == 3


def test_an_attempt_that_was_taken_over_registers_and_promotes_nothing(register_in, on_store, client):
    first, second = register_in("run-1"), register_in("run-2")
    promote(first)
    source = client.get_model_version(NAME, "1").source
    with attempting(Attempt(run="run-3", node="promote", check=LostLease().check)):
        for act in (
            lambda: promote(second),
            lambda: rollback(NAME),
            lambda: register(source, name=NAME, metric="accuracy", score=1.0),
        ):
            with pytest.raises((LeaseLost, NothingToRollBack)):
                act()
    assert champion_number() == 1
    assert versions(client) == [1, 2]


def test_a_version_that_was_made_twice_becomes_one(on_store, tracking, linear, iris, client):
    with tracking.attempt(attempt_of()) as tracker:
        uri = tracker.log_model(linear, example=iris[0])
    with attempting(Attempt(run="run-1", node="deploy")):
        first = register(uri, name=NAME, metric="accuracy", score=0.9)
        tags = client.get_model_version(NAME, "1").tags
        client.create_model_version(NAME, uri, tags=tags, await_creation_for=0)
        assert register(uri, name=NAME, metric="accuracy", score=0.9) == first
    assert versions(client) == [1]


def champion_number() -> int | None:
    now = champion(NAME)
    return None if now is None else now.version


def test_rolling_back_without_a_champion_says_so(register_in):
    register_in()
    with pytest.raises(NothingToRollBack, match="has no champion"):
        rollback(NAME)


def test_a_version_that_is_gone_cannot_be_promoted(register_in, client):
    version = register_in()
    client.delete_model_version(NAME, "1")
    with pytest.raises(UnknownModel, match="no version 1"):
        promote(version)


def test_a_model_that_was_not_logged_cannot_be_registered(on_store):
    for uri in ("", "models:/m-00000000000000000000000000000000"):
        with pytest.raises(UnknownModel):
            register(uri, name=NAME, metric="accuracy", score=1.0)


def test_the_loaded_champion_gives_the_same_predictions(register_in, forest, iris):
    promote(register_in(model=forest))
    assert np.array_equal(load_model(NAME).predict_proba(iris[0]), forest.predict_proba(iris[0]))


def test_loading_an_alias_that_nobody_bears_says_so(register_in):
    register_in()
    with pytest.raises(UnknownModel, match="alias 'champion'"):
        load_model(NAME)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "it's"])
def test_a_name_that_no_model_can_have_is_told(on_store, name):
    with pytest.raises(UnknownModel, match="can be called"):
        load_model(name)
    with pytest.raises(UnknownModel, match="can be called"):
        registry().versions(name)


def test_a_pickled_model_is_refused(on_store, tmp_path, client):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "MLmodel").write_text(
        "flavors:\n  sklearn:\n    pickled_model: model.skops\n    serialization_format: cloudpickle\n"
    )
    (folder / "model.skops").write_bytes(pickle.dumps(Bomb()))
    _enter(client, folder)
    with pytest.raises(UnsafeModel, match="kept by cloudpickle"):
        load_model(NAME)


def test_a_pickle_that_claims_to_be_skops_is_not_loaded(on_store, tmp_path, client):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors:\n  sklearn:\n    serialization_format: skops\n")
    (folder / "model.skops").write_bytes(pickle.dumps({"not": "skops"}))
    _enter(client, folder)
    with pytest.raises(UnsafeModel, match="is no estimator that can be read"):
        load_model(NAME)


def test_types_are_not_trusted_because_the_model_says_so(on_store, tmp_path, client):
    import skops.io

    folder = tmp_path / "crafted"
    folder.mkdir()
    (folder / "MLmodel").write_text(
        "flavors:\n  sklearn:\n    serialization_format: skops\n"
        "    skops_trusted_types: [test_registry.Crafted]\n"
    )
    skops.io.dump(Crafted(), folder / "model.skops")
    _enter(client, folder)
    with pytest.raises(UnsafeModel, match="Crafted"):
        load_model(NAME)


class Crafted:
    """A type of somebody's own."""


def test_a_model_altered_in_the_store_is_refused(register_in, forest, client):
    promote(register_in(model=forest))
    location = client.get_model_version_download_uri(NAME, "1").removeprefix("file://")
    with Path(f"{location}/model.skops").open("ab") as file:
        file.write(b"altered")
    with pytest.raises(UnsafeModel, match="not the one that was registered"):
        load_model(NAME)


def _enter(client, folder):
    """Register a folder by other means than ours, as the champion."""
    client.create_registered_model(NAME)
    client.create_model_version(NAME, folder.as_uri(), await_creation_for=0)
    client.set_registered_model_alias(NAME, "champion", "1")
    assert mlflow.get_tracking_uri().startswith("sqlite")


def test_clients_list_versions_by_what_is_installed(register_in, forest):
    register_in("run-1", score=0.8)
    promote(register_in("run-2", model=forest, score=0.9))
    register_in("run-3", name="another", node="other")
    found = registry().versions(NAME)
    assert [(each.version, each.aliases, each.run, each.score) for each in found] == [
        (2, ("champion",), "run-2", 0.9),
        (1, (), "run-1", 0.8),
    ]
    assert [each.name for each in registry().versions()] == ["another", NAME, NAME]
    assert registry().versions("nothing") == []
