"""Errors between a worker and MLflow, with one-line messages."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.authoring.masking import mask_text
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

log = logging.getLogger(__name__)


class TrackingUnavailable(OrchestratorError):
    """MLflow does not answer, or refuses access."""

    exit_status = 1
    transient = True


class ModelNotLoggable(OrchestratorError):
    """A model cannot be logged in the format that this project uses."""

    exit_status = 1


class ModelNotDelivered(OrchestratorError):
    """A model was logged while MLflow was unavailable, and could not be delivered afterwards."""

    exit_status = 1


@contextmanager
def clear_errors(tracking_uri: str) -> Iterator[None]:
    """Raise TrackingUnavailable, with a one-line message, if MLflow is unreachable; pass other errors on."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        trouble = _trouble(error)
        if trouble is None:
            raise
        raise TrackingUnavailable(
            f"MLflow at {mask_text(tracking_uri)} {trouble[0]}", hint=trouble[1]
        ) from error
    except sqlite3.OperationalError as error:
        raise TrackingUnavailable(
            f"MLflow's database {mask_text(tracking_uri)} cannot be opened: {error}",
            hint="The folder must exist on this machine and be writable for the worker.",
        ) from error


@contextmanager
def clear_plain_errors() -> Iterator[None]:
    """Like `clear_errors`, for a stage's plain `mlflow` calls; costs nothing if it does not use MLflow."""
    try:
        yield
    except Exception as error:
        library = sys.modules.get("mlflow.exceptions")
        if library is None or not isinstance(error, library.MlflowException):
            raise
        uri = str(sys.modules["mlflow"].get_tracking_uri())
        with clear_errors(uri):
            raise


@contextmanager
def only_warn(tracking_uri: str, lost: str) -> Iterator[None]:
    """Only log a warning if MLflow is unreachable, so that the stage does not fail."""
    try:
        with clear_errors(tracking_uri):
            yield
    except TrackingUnavailable as error:
        log.warning("%s; %s", error, lost, extra={"action": "tracking unavailable"})


def is_gone(error: MlflowException) -> bool:
    """Whether the run or experiment that was written to has been deleted."""
    return is_removed(error) or "must be in the 'active' state" in str(error)


def is_removed(error: MlflowException) -> bool:
    """Whether the object does not exist, not even as deleted."""
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def _trouble(error: MlflowException) -> tuple[str, str] | None:
    """Return why a request failed and a hint; None if MLflow did answer."""
    message = str(error)
    if "failed with error code 401" in message:
        return "refused our credentials", "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
    if "failed with error code 403" in message:
        return "does not let our user do this", "Have its administrator allow it; the stage is tried again."
    if message.startswith("API request to") and "failed with" in message:
        reason = "timed out" if "timed out" in message.lower() else "does not answer"
        return reason, "Start it, or correct MLFLOW_TRACKING_URI; the stage can then be tried again."
    if error.error_code == "TEMPORARILY_UNAVAILABLE":
        return "cannot reach its database", "Start the database that MLflow keeps its runs in."
    # MLflow's client wraps some failures in others: 3.17's `set_logged_model_tags` sends a request first.
    cause = error.__cause__
    return _trouble(cause) if isinstance(cause, type(error)) else None
