"""Release: the last leg of a pipeline, from a judged model to one that is served - or not.

    gate → register → promote → verify

What passes the gate becomes the champion of its name. With what does not, the run succeeds all the same: the
last three stages are skipped, and the champion stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from orchestrator import stage
from orchestrator.errors import OrchestratorError
from workers import deployment
from workers.deployment import ModelVersion, Promotion, Verdict
from workers.training import Examples, Report, score_again

ERRORS = 2  #: a model must beat a guess by this many standard errors: by chance, 1 of 40 would


class PromotionUndone(OrchestratorError):
    """The promoted version does not do what the fitted model did."""

    exit_status = 1


class Verified(NamedTuple):
    """A promoted version that was loaded back and predicts as the fitted model does."""

    name: str
    version: int
    rows: int  #: how many predictions were compared


class Released(NamedTuple):
    """What a pipeline that trains and releases a model returns."""

    model: BaseEstimator
    report: Report
    verdict: Verdict


@stage(queue="deployment")
def gate(
    name: str,
    report: Report,
    test: Examples,
    minimum: float,
    margin: float = 0.0,
    baseline: float | None = None,
) -> Verdict:
    """Pass a model that is good enough, better than a guess, and better by `margin` than its champion.

    Better than a guess means by more than chance explains: by two standard errors. The champion is measured
    again, on the same examples that the report is about.
    """
    if baseline is not None and report.score <= baseline + ERRORS * report.error:
        reason = (
            f"{report.measure} {report.score:.4f} is no better than guessing, which reaches {baseline:.4f}"
            f" (standard error {report.error:.4f}, {ERRORS} of them are asked for)"
        )
        return Verdict(False, reason, report.measure, report.score, champion=None, champion_version=None)
    return deployment.compare_with_champion(
        name=name,
        metric=report.measure,
        score=report.score,
        minimum=minimum if baseline is None else max(minimum, baseline),
        margin=margin,
        measure_again=lambda champion: score_again(champion, test, report.measure),
    )


@stage(queue="deployment")
def register(name: str, uri: str, report: Report) -> ModelVersion:
    """Make the logged model a version of its name."""
    return deployment.register(uri, name=name, metric=report.measure, score=report.score)


@stage(queue="deployment")
def promote(version: ModelVersion) -> Promotion:
    """Make the version the champion, which is what gets served."""
    return deployment.promote(version)


@stage(queue="deployment")
def verify(promotion: Promotion, model: BaseEstimator, rows: pd.DataFrame) -> Verified:
    """Load the promoted version from the registry, and compare its predictions with the fitted model's.

    Should they differ, the champion before it comes back.
    """
    served = deployment.load_model(promotion.name, version=promotion.version)
    if not _same(served.predict(rows), model.predict(rows)):
        if promotion.previous is not None:
            deployment.rollback(promotion.name, of=promotion.version)
        raise PromotionUndone(
            f"version {promotion.version} of '{promotion.name}', loaded from the registry, does not predict "
            "what the fitted model does; the champion before it, if any, is back in its place"
        )
    return Verified(promotion.name, promotion.version, len(rows))


def _same(served: np.ndarray, fitted: np.ndarray) -> bool:
    if np.issubdtype(fitted.dtype, np.floating):
        return np.allclose(served, fitted)  # the last digits may depend on the machine
    return np.array_equal(served, fitted)
