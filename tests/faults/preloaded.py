"""Loads MLflow in a worker, once: its children inherit what is imported before they are forked."""

from workers.tracking import preload

preload()
