"""Runs one pipeline, or its baseline, from the call until its end is seen; both ends are looked for alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from celery.result import AsyncResult

from benchmarks.rig import Rig
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.run_id import RunId
from orchestrator.settings import settings

#: Seconds between two looks, each of one key, at whether a run has ended.
PACE = 0.002
#: The same where nothing is timed by it.
LEISURE = 0.02
_LONGEST = 120.0


class Unfinished(Exception):
    """A run that did not end, or did not succeed."""


def run_ours(
    rig: Rig, pipeline: Pipeline[..., object], parameters: Mapping[str, object], *, pace: float = PACE
) -> float:
    """Seconds from the call of a pipeline until it is seen to have succeeded; it is looked at every `pace`.

    Returns only when the run has been written down as well, so that this work is not in the next measurement.
    """
    begun = time.perf_counter()
    run = start_ours(rig, pipeline, parameters)
    wait_for(lambda: rig.reader.state(run).over, run, pace=pace)
    seconds = time.perf_counter() - begun
    settle(rig, run)
    return seconds


def run_raw(rig: Rig, apply: Callable[[], AsyncResult]) -> float:
    """Seconds from the call of a raw canvas until its last result is seen."""
    begun = time.perf_counter()
    result = apply()
    key = result.backend.get_key_for_task(result.id)
    wait_for(lambda: rig.redis.exists(key), result.id)
    seconds = time.perf_counter() - begun
    if result.state != "SUCCESS":
        raise Unfinished(f"the baseline's {result.id} ended as {result.state}: {result.result}")
    result.backend.forget(result.id)
    return seconds


def start_ours(rig: Rig, pipeline: Pipeline[..., object], parameters: Mapping[str, object]) -> RunId:
    """Submit a run, as the command line does."""
    prepared = prepare(pipeline, parameters, queues=settings().queues)
    return submit(prepared, store=rig.store, runs=rig.runs)


def settle(rig: Rig, run: RunId, *, state: str = "succeeded") -> None:
    """Wait until a run is written down, and make sure that it ended so."""
    wait_for(lambda: rig.reader.concluded(run), run, pace=LEISURE)
    record = rig.reader.summary(run)
    if record.state != state:
        raise Unfinished(f"{run} ended as {record.state}: {record.error}")


def wait_for(condition: Callable[[], object], what: str, *, pace: float = PACE) -> None:
    """Look every `pace` seconds until the condition holds."""
    deadline = time.monotonic() + _LONGEST
    while not condition():
        if time.monotonic() > deadline:
            raise Unfinished(f"{what} did not end within {_LONGEST:.0f} s")
        time.sleep(pace)
