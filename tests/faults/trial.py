"""One run with its faults, from the submission until all about it is written down and checked."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from redis.exceptions import RedisError

from orchestrator.authoring.graph import JSON
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from tests.harness.waiting import holds

from .checks import breaches
from .faults import FAULTS
from .rig import Rig
from .schedule import Planned

#: Seconds that a run may take with all its faults before it counts as lost.
PATIENCE = 60.0


@dataclass(frozen=True)
class Outcome:
    """How one run ended."""

    number: int
    run: RunId
    faults: tuple[Planned, ...]
    seconds: float  #: from the submission until the run was over
    recovery: float  #: the longest that nothing happened after a fault began
    breaches: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def try_run(rig: Rig, number: int, faults: tuple[Planned, ...], expected: Mapping[str, JSON]) -> Outcome:
    """Submit a run, let the faults hit it, and look at what became of it."""
    scratch = rig.scratch_files()
    run, began = rig.submit(), time.time()
    errors: list[str] = []
    threads = [threading.Thread(target=_hit, args=(rig, run, each, errors)) for each in faults]
    for thread in threads:
        thread.start()
    holds(lambda: rig.reader.concluded(run), PATIENCE)
    for thread in threads:
        thread.join()
    found = errors
    # Once more: Redis may have forgotten the end of the run, which then comes again
    if not holds(lambda: rig.reader.concluded(run), PATIENCE):
        found.append(f"the run had not ended after {PATIENCE:.0f} s")
    if not holds(rig.is_whole, 40):
        found += rig.missing()
    found += breaches(rig, run, expected, [each.fault for each in faults], scratch)
    if found:
        _keep_state(rig, run, rig.folder / f"{run}.json")
    seconds, recovery = _times(rig, run, began, faults)
    return Outcome(number, run, faults, seconds, recovery, tuple(found))


def _hit(rig: Rig, run: RunId, planned: Planned, errors: list[str]) -> None:
    time.sleep(planned.at)
    try:
        FAULTS[planned.fault](rig, run, random.Random(planned.seed))
    except Exception as error:  # noqa: BLE001 - a fault that did not happen must not look like one survived
        errors.append(f"{planned.fault} could not be done: {error!r}")


def _times(rig: Rig, run: RunId, began: float, faults: tuple[Planned, ...]) -> tuple[float, float]:
    """How long a run took, and its longest standstill after its first fault."""
    moments = [int(event.position.partition("-")[0]) / 1000 for event in rig.reader.events(run)]
    first = began + min((each.at for each in faults), default=0.0)
    later = [first, *(moment for moment in moments if moment > first)]
    gaps = [after - before for before, after in pairwise(later)]
    return round(moments[-1] - began, 2), round(max(gaps, default=0.0), 2)


def _keep_state(rig: Rig, run: RunId, path: Path) -> None:
    """Write down what Redis has of a run, for whoever looks for the cause."""
    keys, client = RunKeys(run), rig.client
    parts: Mapping[str, Callable[[], object]] = {
        "meta": lambda: client.hgetall(keys.meta),
        "nodes": lambda: client.hgetall(keys.nodes),
        "leases": lambda: client.zrange(keys.leases, 0, -1, withscores=True),
        "missing": lambda: client.hgetall(keys.missing),
        "due": lambda: client.zrange(keys.due, 0, -1, withscores=True),
        "alone": lambda: sorted(client.smembers(keys.alone)),
        "events": lambda: [
            (each.position, each.node, each.state, each.detail) for each in rig.reader.events(run)
        ],
        "unacked": lambda: client.hgetall("unacked"),
        "keys": lambda: sorted(client.scan_iter()),
    }
    state: dict[str, object] = {}
    for name, part in parts.items():
        try:
            state[name] = part()
        except RedisError as error:
            state[name] = repr(error)
    path.write_text(json.dumps(state, indent=1, default=str))
