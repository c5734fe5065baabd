"""The last leg of every pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from orchestrator import context
from pipelines.release import PromotionUndone, gate, promote, register, verify
from workers import deployment
from workers.deployment import Promotion
from workers.tracking import tracked
from workers.training import Examples, Report

ROWS = pd.DataFrame({"ink": np.linspace(0, 1, 4)})
TEST = Examples(ROWS, pd.Series(["no", "no", "yes", "yes"]))


def always(answer: str) -> DummyClassifier:
    """A model that gives one answer."""
    return DummyClassifier(strategy="constant", constant=answer).fit(ROWS, ["no", "no", "yes", "yes"])


def release(model: DummyClassifier, report: Report) -> Promotion:
    """Register and promote what a training stage has logged."""
    return promote(register("answers", context.log_model(model, example=ROWS), report))


def test_a_model_that_only_guesses_does_not_pass() -> None:
    verdict = gate("answers", Report("accuracy", 0.518, {}, 4, 0.01), TEST, minimum=0.0, baseline=0.5)
    assert not verdict.passed
    assert verdict.reason.startswith("accuracy 0.5180 is no better than guessing, which reaches 0.5000")


def test_the_champion_is_measured_again_on_the_challengers_test_data(tmp_path: Path) -> None:
    with tracked(f"sqlite:///{tmp_path}/mlflow.db", artifact_root=tmp_path.as_uri()):
        release(always("yes"), Report("accuracy", 0.98, {}, 4))
        verdict = gate("answers", Report("accuracy", 0.75, {}, 4), TEST, minimum=0.0)
    assert verdict.passed
    assert verdict.champion == 0.5
    assert verdict.reason == (
        "accuracy 0.75 beats the champion's 0.5 (version 1); both measured on the same test data"
    )


def test_a_champion_that_cannot_take_the_columns_does_not_count(tmp_path: Path) -> None:
    with tracked(f"sqlite:///{tmp_path}/mlflow.db", artifact_root=tmp_path.as_uri()):
        model = LogisticRegression().fit(ROWS, TEST.target)
        promote(register("answers", context.log_model(model, example=ROWS), Report("accuracy", 0.98, {}, 4)))
        other = TEST._replace(inputs=ROWS.rename(columns={"ink": "paper"}))
        verdict = gate("answers", Report("accuracy", 0.75, {}, 4), other, minimum=0.5)
    assert verdict.passed
    assert verdict.champion is None
    assert "it cannot be measured on the same test data" in verdict.reason


def test_the_promoted_version_predicts_as_the_fitted_model(tmp_path: Path) -> None:
    with tracked(f"sqlite:///{tmp_path}/mlflow.db", artifact_root=tmp_path.as_uri()):
        promotion = release(always("yes"), Report("accuracy", 0.5, {}, 4))
        assert verify(promotion, always("yes"), ROWS) == ("answers", 1, 4)


def test_a_promoted_version_that_predicts_something_else_is_taken_back(tmp_path: Path) -> None:
    uri, root = f"sqlite:///{tmp_path}/mlflow.db", tmp_path.as_uri()
    report = Report("accuracy", 0.5, {}, 4)
    with tracked(uri, artifact_root=root):
        release(always("no"), report)
    with tracked(uri, artifact_root=root):
        promotion = release(always("no"), report)
        assert promotion.previous == 1
        with pytest.raises(PromotionUndone, match="does not predict what the fitted model does"):
            verify(promotion, always("yes"), ROWS)
        champion = deployment.champion("answers")
        assert champion is not None
        assert champion.version == 1
