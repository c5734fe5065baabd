"""Track pipeline runs in MLflow: one MLflow run per pipeline run, nested runs of nodes."""

from __future__ import annotations

from workers.tracking.attempt import AttemptTracker
from workers.tracking.errors import ModelNotDelivered, ModelNotLoggable, TrackingUnavailable
from workers.tracking.library import preload
from workers.tracking.local import tracked
from workers.tracking.mlflow_tracking import MlflowTracking
from workers.tracking.records import AttemptInfo, Data, NodeInfo, RunInfo

__all__ = [
    "AttemptInfo",
    "AttemptTracker",
    "Data",
    "MlflowTracking",
    "ModelNotDelivered",
    "ModelNotLoggable",
    "NodeInfo",
    "RunInfo",
    "TrackingUnavailable",
    "preload",
    "tracked",
]
