"""What pipelines share for training."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import TimeSeriesSplit, cross_val_score

from orchestrator.artifacts import UntrustedTypes
from orchestrator.artifacts.codecs.estimators import dump_estimator, load_estimator
from workers.training import (
    Candidate,
    Examples,
    Scored,
    Task,
    better_half,
    build,
    divide,
    examples,
    fit_aloud,
    grid,
    guesser,
    judge,
    leader,
    sample,
    standings,
    with_encoder,
)
from workers.training.families import FAMILIES
from workers.training.fitting import cross_validate
from workers.training.measures import standard_error

MODELS = [(task, family) for task in get_args(Task) for family in FAMILIES[task]]


def mixed(task: Task, rows: int = 60) -> Examples:
    """Numbers and categories with gaps, and a target that depends on them."""
    chance = np.random.default_rng(0)
    inputs = pd.DataFrame({"x": chance.normal(size=rows), "c": chance.choice(["a", "b"], rows)})
    target = inputs["x"] + (inputs["c"] == "a")
    inputs.loc[3, "x"], inputs.loc[4, "c"] = None, None
    return Examples(inputs, target if task == "regression" else (target > 0).map({True: "yes", False: "no"}))


def test_a_grid_has_a_candidate_for_every_combination() -> None:
    assert [str(each) for each in grid("svm", C=[1.0, 2.0], gamma=["scale"])] == [
        "svm(C=1.0, gamma=scale)",
        "svm(C=2.0, gamma=scale)",
    ]


def test_the_first_of_equals_leads() -> None:
    scored = [Scored(Candidate(name), "r2", mean, 0.0) for name, mean in [("a", 0.1), ("b", 0.5), ("c", 0.5)]]
    assert leader(scored).candidate.family == "b"
    assert standings(scored).splitlines()[2].startswith("| b() | 0.5000")


def test_an_unknown_family_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no family 'tree' for regression; there are linear, neighbours"):
        build(Candidate("tree"), task="regression")


@pytest.mark.parametrize(("task", "family"), MODELS)
def test_each_model_is_stored_by_skops_and_predicts_the_same(task: Task, family: str) -> None:
    table = mixed(task)
    settings = {"max_iter": 5} if family == "boosting" else {"n_estimators": 5} if family == "forest" else {}
    model = with_encoder(build(Candidate(family, {**settings}), task=task), table.inputs)
    model.fit(table.inputs, table.target)
    loaded: Any = load_estimator(dump_estimator(model), "the model")
    assert np.array_equal(loaded.predict(table.inputs), model.predict(table.inputs))


@pytest.mark.parametrize(("task", "family"), MODELS)
def test_each_model_takes_gaps_and_categories_that_it_has_not_seen(task: Task, family: str) -> None:
    table = mixed(task)
    model = with_encoder(build(Candidate(family), task=task), table.inputs).fit(table.inputs, table.target)
    new = pd.DataFrame({"x": [0.5, None, None], "c": ["a", "new", None]}, dtype=object).astype(
        {"x": "float64", "c": "str"}
    )
    assert len(model.predict(new)) == 3


def test_boosting_takes_categories_as_such_however_many_there_are() -> None:
    words = pd.Series(np.arange(3000) % 600).map(lambda number: f"w{number}")
    inputs = pd.DataFrame({"x": np.zeros(3000), "c": words})
    model = with_encoder(build(Candidate("boosting", {"max_iter": 5}), task="regression"), inputs)
    model.fit(inputs, np.asarray(words.str.len(), dtype=float))
    assert model[-1].n_features_in_ == 2
    assert list(model[-1].is_categorical_) == [False, True]


@pytest.mark.parametrize(("task", "family"), MODELS)
def test_the_same_seed_gives_the_same_model(task: Task, family: str) -> None:
    table = mixed(task)
    settings = {"max_iter": 5} if family == "boosting" else {"n_estimators": 5} if family == "forest" else {}
    one, other = (
        with_encoder(build(Candidate(family, {**settings}), task=task, seed=7), table.inputs)
        .fit(table.inputs, table.target)
        .predict(table.inputs)
        for _ in range(2)
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize("family", ["forest", "boosting"])
def test_a_long_fit_tells_how_far_it_is(family: str, capfd: pytest.CaptureFixture[str]) -> None:
    table = mixed("regression")
    model = with_encoder(build(Candidate(family), task="regression"), table.inputs)
    fit_aloud(model, table)
    printed = capfd.readouterr()
    assert "100" in printed.out + printed.err
    assert model[-1].verbose == 0
    model.predict(table.inputs)
    assert capfd.readouterr() == ("", "")


def test_two_classes_are_also_judged_by_the_area_under_the_curve() -> None:
    table = mixed("classification")
    report = judge(guesser("classification").fit(*table), table)
    both = {"roc_auc", "average_precision"}
    assert set(report.measures) == {"balanced_accuracy", "accuracy", "macro_f1"} | both
    assert report.score == report.measures["balanced_accuracy"] == 0.5


def test_amounts_are_judged_by_errors_above_zero() -> None:
    table = mixed("regression")
    report = judge(guesser("regression").fit(*table), table, task="regression")
    assert report.measure == "r2"
    assert report.measures["rmse"] > report.measures["mae"] > 0


def test_dividing_keeps_inputs_beside_their_targets() -> None:
    table = pd.DataFrame({"x": range(40), "y": [number % 2 for number in range(40)]})
    parts = divide(examples(table, "y"), 0.25, seed=1, stratify=True)
    for part in parts:
        assert (part.inputs["x"] % 2 == part.target).all()
    assert parts.test.target.sum() == 5


class Unknown(Ridge):
    """An estimator of a package that nobody said may be loaded."""

    def fit(self, *_: object, **__: object) -> Unknown:
        raise AssertionError("fitted")


def test_a_model_that_could_not_be_stored_is_not_even_fitted() -> None:
    with pytest.raises(UntrustedTypes, match="Unknown"):
        cross_validate(Candidate("linear", {}), Unknown(), mixed("regression"), folds=2, seed=0)


def test_by_time_the_later_folds_count_for_more() -> None:
    chance = np.random.default_rng(0)
    inputs = pd.DataFrame({"x": chance.normal(size=120)})
    noise = np.linspace(3.0, 0.1, 120) * chance.normal(size=120)  # ever easier to predict
    rows = Examples(inputs, inputs["x"] + noise)
    by_fold = cross_val_score(Ridge(), *rows, scoring="r2", cv=TimeSeriesSplit(5))
    scored = cross_validate(Candidate("linear"), Ridge(), rows, folds=5, seed=0, task="regression", by="time")
    assert scored.mean == pytest.approx(np.average(by_fold, weights=[20, 40, 60, 80, 100]))
    assert scored.mean > by_fold.mean() + 0.05


def test_a_rare_class_is_found_and_its_average_precision_reported() -> None:
    chance = np.random.default_rng(0)
    inputs = pd.DataFrame({"x": chance.normal(size=600)})
    target = (inputs["x"] + chance.normal(size=600) > 2.1).map({True: "rare", False: "usual"})
    report = judge(build(Candidate("linear")).fit(inputs, target), Examples(inputs, target))
    assert report.score > 0.75
    assert target.eq("rare").mean() < 0.1 < report.measures["average_precision"] < 1
    assert 0.01 < report.error < 0.05
    assert report.measures["roc_auc"] > 0.85


def test_the_standard_error_is_as_wide_as_scores_differ_between_samples() -> None:
    chance, scores, errors = np.random.default_rng(0), [], []
    for _ in range(300):
        target = pd.Series(chance.normal(size=200))
        predicted = (target + chance.normal(size=200) * 0.5).to_numpy()
        scores.append(r2_score(target, predicted))
        errors.append(standard_error("r2", target, predicted))
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.15)


@pytest.mark.parametrize(
    ("means", "kept"),
    [
        ({"a": [0.1, 0.2, 0.5, 0.3], "b": [0.4]}, ["a0.5", "b0.4"]),
        ({"a": [0.5, 0.4, 0.3], "b": [0.2, 0.1, 0.0]}, ["a0.5", "a0.4", "b0.2"]),
        ({"a": [0.5], "b": [0.2], "c": [0.1]}, ["a0.5", "b0.2", "c0.1"]),
        ({"a": [0.5]}, ["a0.5"]),
    ],
)
def test_the_better_half_goes_on_best_first_and_the_best_of_each_family(
    means: dict[str, list[float]], kept: list[str]
) -> None:
    scored = [
        Scored(Candidate(family, {"mean": mean}), "r2", mean, 0.0)
        for family, those in means.items()
        for mean in those
    ]
    assert [f"{each.family}{each.settings['mean']}" for each in better_half(scored)] == kept


def test_a_sample_keeps_a_rare_class_and_is_never_larger_than_the_table() -> None:
    target = pd.Series(["rare"] * 20 + ["usual"] * 180)
    whole = Examples(pd.DataFrame({"x": range(200)}), target)
    few = sample(whole, 50, seed=0, stratify=True)
    assert few.target.value_counts().to_dict() == {"usual": 45, "rare": 20}
    assert sample(whole, 500, seed=0, stratify=True) is whole
