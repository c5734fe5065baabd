"""Handwritten digits: from 1,797 small images to a promoted model that reads them.

    extract → validate → split ┬ features → score × 7 → select → refit ┬ evaluate
                               └ features ─────────────────────────────┘    ↓
                                            verify ← promote ← register ← gate

Each function below is a stage, and runs on a worker of its queue; the pipeline at the end ties them together.
"""

from __future__ import annotations

import pandas as pd
from sklearn.datasets import load_digits

from orchestrator import InvalidData, context, pipeline, stage
from pipelines.release import Released, gate, promote, register, verify
from workers.training import (
    Candidate,
    Examples,
    Fitted,
    Parts,
    Report,
    Scored,
    build,
    cross_validate,
    divide,
    examples,
    grid,
    judge,
    leader,
    standings,
)

MODEL = "digits"
TARGET = "digit"
DARKEST = 16  #: the value of a pixel full of ink

CANDIDATES = [
    *grid("svm", C=[1.0, 10.0], gamma=["scale", 0.02]),
    *grid("neighbours", n_neighbors=[1, 3, 5]),
]


@stage
def extract() -> pd.DataFrame:
    """One row for each image: its 8 × 8 pixels, and the digit that was meant."""
    images: pd.DataFrame = load_digits(as_frame=True).frame
    return images.rename(columns={"target": TARGET})


@stage
def validate(images: pd.DataFrame) -> pd.DataFrame:
    """Stop here if the images are not what the stages below were written for."""
    pixels, digits = examples(images, TARGET)
    rules = {
        "an image has 64 pixels": pixels.shape[1] == 64,
        "no pixel is missing": pixels.notna().all(axis=None),
        f"a pixel is from 0 to {DARKEST}": pixels.ge(0).all(axis=None) and pixels.le(DARKEST).all(axis=None),
        "every digit is there, and nothing else": set(digits) == set(range(10)),
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise InvalidData(f"the images break {len(broken)} of {len(rules)} rules: {'; '.join(broken)}")
    return images


@stage
def split(images: pd.DataFrame, test_fraction: float, seed: int) -> Parts:
    """Hold a share of each digit's images back, for the evaluation."""
    return divide(examples(images, TARGET), test_fraction, seed=seed, stratify=True)


@stage
def features(images: Examples) -> Examples:
    """Pixels as the share of ink on them, from 0 to 1."""
    return images._replace(inputs=images.inputs / DARKEST)


@stage(queue="training")
def score(candidate: Candidate, train: Examples, folds: int, seed: int) -> Scored:
    """Cross-validate one candidate."""
    context.log_params(candidate.parameters)
    model = build(candidate, seed=seed)
    scored = cross_validate(candidate, model, train, folds=folds, seed=seed, measure="accuracy")
    context.log_metrics({"accuracy": scored.mean, "accuracy_spread": scored.spread})
    return scored


@stage(queue="training")
def select(scored: list[Scored]) -> Candidate:
    """The candidate that did best over all folds."""
    best = leader(scored)
    context.log_text(standings(scored), "standings.md")
    context.log_metric("accuracy", best.mean)
    return best.candidate


@stage(queue="training")
def refit(candidate: Candidate, train: Examples, seed: int) -> Fitted:
    """Fit the chosen candidate on all training images, and log the model."""
    context.log_params(candidate.parameters)
    model = build(candidate, seed=seed).fit(train.inputs, train.target)
    return Fitted(model, context.log_model(model, example=train.inputs.head()))


@stage(queue="training")
def evaluate(fitted: Fitted, test: Examples) -> Report:
    """Measure the model on the images that were held back."""
    report = judge(fitted.model, test, measure="accuracy")
    context.log_metrics(report.measures)
    return report


@pipeline
def digits(
    test_fraction: float = 0.25,
    folds: int = 5,
    seed: int = 0,
    minimum_accuracy: float = 0.95,
    margin: float = 0.001,
) -> Released:
    """Train a reader of handwritten digits, and deploy it if it beats the champion.

    It is promoted if it reaches `minimum_accuracy` on images it has not seen, and beats the champion by at
    least `margin`. A second run with the same result therefore succeeds, and leaves the champion in place.

    Args:
        test_fraction: share of the images that is held back for the evaluation
        folds: of the cross-validation
        seed: of the split, the folds and the models
        minimum_accuracy: that a model must reach to be promoted
        margin: by which it must beat the champion
    """
    parts = split(validate(extract()), test_fraction, seed)
    train, test = features(parts.train), features(parts.test)

    candidate = select(score.partial(train=train, folds=folds, seed=seed).map(candidate=CANDIDATES))
    fitted = refit(candidate, train, seed)
    report = evaluate(fitted, test)

    verdict = gate(MODEL, report, test, minimum_accuracy, margin)
    version = register.only_if(verdict.passed)(MODEL, fitted.uri, report)
    verify(promote(version), fitted.model, test.inputs)
    return Released(fitted.model, report, verdict)
