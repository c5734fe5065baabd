"""Where the time of a chain goes: `python -m benchmarks.breakdown` runs chains in its own process.

The rig's Redis must be no child of that process: all child processes end with a stage.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import wraps
from statistics import median

from celery.app.task import Context

import workers.celery  # noqa: F401 - what a worker imports
from benchmarks.stages import line
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import NodeName
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.runs.scripts import LuaScripts
from orchestrator.settings import settings
from workers.runtime import turn
from workers.runtime.claimed_node import ClaimedNode, Delivery
from workers.runtime.resources import worker_resources

WARM_UP, ROUNDS = 10, 50

#: What takes part of a node's time, by the method in which it does.
_PARTS: Mapping[str, tuple[type, str]] = {
    "Redis": (LuaScripts, "__call__"),
    "files": (ArtifactStore, "create"),
    "inputs, call and output": (ClaimedNode, "output"),
}


def main(length: int) -> None:
    """Run chains of so many stages, and print the medians as JSON, in seconds."""
    taken: dict[str, list[float]] = defaultdict(list)
    turn.NODES, turn.SECONDS = length, 60.0  # all of it in one turn
    spent = {name: _timed(*place) for name, place in _PARTS.items()}
    for number in range(WARM_UP + ROUNDS):
        times = _run(length, spent)
        if number >= WARM_UP:
            for name, seconds in times.items():
                taken[name].append(seconds)
    print(json.dumps({name: median(times) for name, times in taken.items()}))


def _run(length: int, spent: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    resources = worker_resources()
    begun = time.perf_counter()
    prepared = prepare(line, {"length": length}, queues=settings().queues)
    run = submit(prepared, store=resources.store, runs=resources.runs)
    submitted = time.perf_counter()
    for read in spent.values():
        read()
    context = resources.context(run)
    first = NodeName(context.graph.order[0])
    request = Context(id=str(run), delivery_info={"routing_key": "data"})
    turn.Turn(Delivery(run, first, str(run), str(os.getpid())), context, request, resources).run()
    ended = time.perf_counter()
    parts = {name: read() / length for name, read in spent.items()}
    return {"submission": submitted - begun, "node": (ended - submitted) / length, **parts}


def _timed(owner: type, name: str) -> Callable[[], float]:
    """Measure all calls of a method from now on; return what reads, and resets, their seconds."""
    method, spent = getattr(owner, name), [0.0]

    @wraps(method)
    def measured(*arguments: object, **named: object) -> object:
        begun = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            spent[0] += time.perf_counter() - begun

    setattr(owner, name, measured)

    def read() -> float:
        found, spent[0] = spent[0], 0.0
        return found

    return read


if __name__ == "__main__":
    main(int(sys.argv[1]))
