"""The rule by which a challenger may replace the champion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.deployment.local import local_registry
from workers.deployment.records import CHAMPION, Verdict
from workers.deployment.registry import METRIC, SCORE, by_alias, open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Registered

_ROUNDING = 1e-12  #: 0.97 + 0.01 must not fail 0.98


def compare_with_champion(
    *,
    name: str,
    metric: str,
    score: float,
    minimum: float,
    margin: float = 0.0,
    greater_is_better: bool = True,
) -> Verdict:
    """Judge a challenger for `name`: at least `minimum`, and at least the champion's score plus `margin`.

    With `greater_is_better=False` (an error, a loss) read "at most" and "minus". A champion without a score
    by this metric cannot be compared; then `minimum` alone decides.
    """
    reigning, version = _champion_of(name, metric)
    passed, reason = judge(
        metric, score, minimum, reigning, version, margin=margin, greater_is_better=greater_is_better
    )
    return Verdict(passed, reason, metric, score, reigning, version)


def _champion_of(name: str, metric: str) -> tuple[float | None, int | None]:
    """The champion's score by the metric, and its version; None where there is none."""
    local = local_registry()
    if local is not None:
        here = local.by_alias(name, CHAMPION)
        return (None, None) if here is None else (local.score_of(here, metric), here.version)
    with open_registry() as client:
        found = by_alias(client, name, CHAMPION)
        return (None, None) if found is None else (_score_of(client, found, metric), int(found.version))


def judge(
    metric: str,
    score: float,
    minimum: float,
    reigning: float | None,
    version: int | None,
    *,
    margin: float = 0.0,
    greater_is_better: bool = True,
) -> tuple[bool, str]:
    """The rule itself: whether the challenger passes, and why in plain English."""
    if math.isnan(score):
        return False, f"{metric} is not a number"
    sign = 1 if greater_is_better else -1
    said, required = _said(score, minimum)
    if sign * (score - minimum) < -_ROUNDING:
        limit = "below the required" if greater_is_better else "above the allowed"
        return False, f"{metric} {said} is {limit} {required}"
    if version is None:
        return True, f"{metric} {said} reaches the required {required}, and there is no champion yet"
    if reigning is None:
        return True, (
            f"{metric} {said} reaches the required {required}; the champion (version {version}) "
            f"has no {metric} to compare with"
        )
    said, theirs = _said(score, reigning)
    lead = sign * (score - reigning)
    needed = f" by the required {margin:g}" if margin else ""
    if lead < margin - _ROUNDING:
        return False, f"{metric} {said} does not beat the champion's {theirs} (version {version}){needed}"
    if abs(lead) <= _ROUNDING:
        return True, f"{metric} {said} equals the champion's (version {version})"
    return True, f"{metric} {said} beats the champion's {theirs} (version {version}){needed}"


def _said(one: float, other: float) -> tuple[str, str]:
    """Both numbers, with as few digits (four or more) as tell them apart."""
    for digits in range(4, 17):
        said = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if said[0] != said[1] or one == other:
            break
    return said


def _score_of(client: MlflowClient, version: Registered, metric: str) -> float | None:
    """What the version reached by this metric: as it was registered, else as its run measured it."""
    if version.tags.get(METRIC) == metric and SCORE in version.tags:
        found: float | None = float(version.tags[SCORE])
    elif version.run_id:
        found = client.get_run(version.run_id).data.metrics.get(metric)
    else:
        found = None
    return None if found is None or math.isnan(found) else found
