"""The gate: decide whether a challenger may replace the champion."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from workers.deployment.errors import UnknownModel, UnsafeModel
from workers.deployment.loading import load_model
from workers.deployment.local import local_registry
from workers.deployment.records import CHAMPION, Verdict
from workers.deployment.registry import METRIC, SCORE, by_alias, open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Registered
    from sklearn.base import BaseEstimator

_ROUNDING = 1e-12  #: 0.97 + 0.01 must not fail 0.98


def compare_with_champion(
    *,
    name: str,
    metric: str,
    score: float,
    minimum: float,
    margin: float = 0.0,
    greater_is_better: bool = True,
    measure_again: Callable[[BaseEstimator], float] | None = None,
) -> Verdict:
    """Judge a challenger for `name`: at least `minimum`, and at least the champion's score plus `margin`.

    With `greater_is_better=False` (an error, a loss) read "at most" and "minus". A champion without a score
    by this metric cannot be compared; then `minimum` alone decides.

    `measure_again` returns the champion's score on the challenger's test data, since scores on different data
    are not comparable. If the champion cannot process that data, `minimum` alone decides, as the reason says.
    """
    reigning, version = _champion_of(name, metric)
    on = ""
    rule = partial(judge, metric, score, minimum, margin=margin, greater_is_better=greater_is_better)
    if measure_again is not None and version is not None and rule(None, None)[0]:
        reigning, on = _measured_again(name, version, measure_again)
    passed, reason = rule(reigning, version)
    return Verdict(passed, reason + on, metric, score, reigning, version)


def _measured_again(
    name: str, version: int, measure: Callable[[BaseEstimator], float]
) -> tuple[float | None, str]:
    """Return the champion's score on the challenger's test data, None if not measurable, and a remark."""
    try:
        found = measure(load_model(name, version=version))
    except (UnknownModel, UnsafeModel, ValueError, TypeError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        why = f"it cannot be measured on the same test data ({first})"
        return None, f": {why}, and scores of other data do not count"
    if math.isnan(found):
        return None, ": on the same test data it is not a number"
    return found, "; both measured on the same test data"


def _champion_of(name: str, metric: str) -> tuple[float | None, int | None]:
    """Return the champion's score by the metric, and its version; None if there is none."""
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
    """Apply the rule: return whether the challenger passes, and the reason in plain English."""
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
    """Format both numbers with the fewest digits (at least four) that distinguish them."""
    for digits in range(4, 17):
        said = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if said[0] != said[1] or one == other:
            break
    return said


def _score_of(client: MlflowClient, version: Registered, metric: str) -> float | None:
    """Return the version's score by this metric: as registered, else as measured in its run."""
    if version.tags.get(METRIC) == metric and SCORE in version.tags:
        found: float | None = float(version.tags[SCORE])
    elif version.run_id:
        found = client.get_run(version.run_id).data.metrics.get(metric)
    else:
        found = None
    return None if found is None or math.isnan(found) else found
