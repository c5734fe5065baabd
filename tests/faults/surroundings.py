"""What a run's faults need around the workers, beside the folder and the SQLite file of the default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Surroundings:
    """Which services stand in for files."""

    object_store: bool = False  #: artifacts are in an S3 store, behind a network that can be slow
    tracking_server: bool = False  #: MLflow is asked over HTTP


def needed_by(faults: Iterable[str]) -> Surroundings:
    """The least that these faults can be done to."""
    found = set(faults)
    return Surroundings("slow_store" in found, "mlflow_down" in found)
