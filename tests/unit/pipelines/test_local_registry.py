"""The registry of a run in this process: in memory, by the rules of MLflow's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from orchestrator import Retry, context, pipeline, stage
from workers import deployment

ROWS = np.zeros((3, 1))


@stage
def release(answer: str, score: float) -> int:
    """Log, register and promote a model."""
    model = DummyClassifier(strategy="constant", constant=answer).fit(ROWS, ["no", "no", "yes"])
    uri = context.log_model(model, example=ROWS)
    version = deployment.register(uri, name="answers", metric="accuracy", score=score)
    return deployment.promote(version).version


@stage(retry=Retry(on=(OSError,), times=1, backoff=0.0))
def go_back() -> int:
    """Roll back, and fail the first time."""
    found = deployment.rollback("answers").version
    if context.attempt == 1:
        raise OSError("the network")
    return found


@stage
def in_use() -> tuple[int, str]:
    """Which version is the champion, and what it says."""
    champion = deployment.champion("answers")
    assert champion is not None
    return champion.version, str(deployment.load_model("answers").predict(ROWS)[0])


@stage
def rival(score: float) -> str:
    """What the gate says of a challenger."""
    verdict = deployment.compare_with_champion(name="answers", metric="accuracy", score=score, minimum=0.5)
    return verdict.reason


def test_digits_runs_in_an_empty_folder_and_leaves_nothing_there(tmp_path: Path) -> None:
    code = (
        "from pipelines.digits import digits; run = digits.run_locally(folds=2);"
        "import sys; print(run['verify'].version, 'mlflow' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1].split() == ["1", "False"]  # behind what the stages print
    assert list(tmp_path.iterdir()) == []


def test_what_was_promoted_is_judged_against_and_rolled_back_once() -> None:
    @pipeline
    def two_champions() -> None:
        second = release.after(release("no", 0.7))("yes", 0.8)
        verdict = rival.after(second)(0.75)
        in_use.after(go_back.after(verdict)())()

    run = two_champions.run_locally()
    assert run["rival"] == "accuracy 0.75 does not beat the champion's 0.8 (version 2)"
    assert run["in_use"] == (1, "no")


def test_each_run_begins_without_a_champion() -> None:
    @pipeline
    def first() -> None:
        release("no", 0.9)

    @pipeline
    def later() -> None:
        rival(0.6)

    first.run_locally()
    assert "there is no champion yet" in str(later.run_locally()["rival"])


def test_a_model_that_was_not_logged_here_is_refused() -> None:
    @stage
    def register_foreign() -> None:
        deployment.register("models:/m-1", name="answers", metric="accuracy", score=1.0)

    @pipeline
    def foreign() -> None:
        register_foreign()

    with pytest.raises(deployment.UnknownModel, match="no model 'models:/m-1' to register as 'answers'"):
        foreign.run_locally()
