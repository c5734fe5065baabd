"""Loads MLflow in a worker before it forks, as the fleet does, so that its import is in nobody's time."""

from __future__ import annotations

from workers.tracking import preload

preload()
