"""Flower's configuration: `celery -A workers flower --conf=workers/flowerconfig.py`."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from celery.events.state import Task
from flower.views.monitor import Metrics
from tornado.web import authenticated

# Flower 2.2 serves its metrics without authentication, although everything else requires a password
Metrics.get = authenticated(Metrics.get)

# Flower cannot read a password from a file by itself
if "FLOWER_PASSWORD_FILE" in os.environ:
    password = Path(os.environ["FLOWER_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    basic_auth = [f"{os.environ.get('FLOWER_USER', 'admin')}:{password}"]

persistent = True
max_tasks = 20_000
tasks_columns = "name,kwargs,state,received,runtime,worker,uuid"

# Seconds until a killed worker is dropped; otherwise the metrics would report it as online for ever
purge_offline_workers = 60

# Seconds, up to half a day; by default all durations above ten seconds share one bucket
task_runtime_metric_buckets = [
    0.1,
    0.3,
    1.0,
    3.0,
    10.0,
    30.0,
    60.0,
    180.0,
    600.0,
    1800.0,
    3600.0,
    10800.0,
    43200.0,
]


def format_task(task: Task) -> Task:
    """Show `score[3] of digits-…` instead of keyword arguments, which would be truncated before the node."""
    task.kwargs = in_words(task.kwargs)  # Flower passes a copy
    return task


def in_words(kwargs: str) -> str:
    """Format the node and run of a task's arguments; return arguments of other tasks unchanged."""
    try:
        given = ast.literal_eval(kwargs)
        run, node = given["run"], given.get("node")
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError):
        return kwargs
    if node is None:
        return str(run)
    return f"{node} (batch {given['batch']}) of {run}" if "batch" in given else f"{node} of {run}"
