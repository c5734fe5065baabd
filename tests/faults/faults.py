"""What can go wrong: each fault by its name, done to a rig while a run is under way."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast
from uuid import uuid4

from kombu.exceptions import OperationalError

from orchestrator.messaging.unacked import fetched_messages, run_of
from orchestrator.run_id import RunId
from tests.harness.waiting import holds

from .rig import LEASE, QUEUES, WORKERS, Rig

if TYPE_CHECKING:
    from redis import Redis

#: Does it, with the chances of its own run.
Fault: TypeAlias = Callable[[Rig, RunId, random.Random], None]


def kill_child(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGKILL of one process of a worker's pool, as when memory runs out."""
    del run
    children = rig.children(chance.randrange(WORKERS))
    if children:
        _kill(chance.choice(children))


def kill_worker(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGKILL of a worker and its children, as when a machine loses power; another one is started."""
    del run
    number = chance.randrange(WORKERS)
    rig.signal_worker(rig.workers[number], signal.SIGKILL)
    rig.replace_worker(number)


def pause_worker(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGSTOP of a worker until well past its lease, as when a machine swaps or a network is cut."""
    del run
    worker = rig.workers[chance.randrange(WORKERS)]
    rig.signal_worker(worker, signal.SIGSTOP)
    time.sleep(LEASE * chance.uniform(1.5, 2.5))
    rig.signal_worker(worker, signal.SIGCONT)


def restart_redis(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGKILL of Redis; after up to two seconds it is back with its append-only file."""
    del run
    rig.kill_redis()
    time.sleep(chance.uniform(0.0, 2.0))
    rig.restart_redis()


def redis_away(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGKILL of Redis, which stays away for longer than clients keep trying."""
    del run
    rig.kill_redis()
    time.sleep(LEASE * chance.uniform(2.0, 4.0))
    rig.restart_redis()


def redis_forgets(rig: Rig, run: RunId, chance: random.Random) -> None:
    """Redis's machine loses power: what was written within the last second had not reached the disk."""
    del run
    reached = rig.appended()
    time.sleep(chance.uniform(0.05, 1.0))
    rig.kill_redis()
    rig.forget(reached)
    rig.restart_redis()


def cut_connection(rig: Rig, run: RunId, chance: random.Random) -> None:
    """A worker loses its connections to Redis and gets none, for shorter or longer than its lease."""
    del run
    link = rig.links[chance.randrange(WORKERS)]
    link.cut()
    time.sleep(LEASE * chance.uniform(0.1, 2.5))
    link.mend()


def slow_store(rig: Rig, run: RunId, chance: random.Random) -> None:
    """For seconds, every request to the artifact store takes 50 to 500 ms longer."""
    del run
    assert rig.object_store is not None
    rig.object_store.network.slow_down(0.05, 0.5)
    time.sleep(chance.uniform(1.0, 4.0))
    rig.object_store.network.slow_down(0.0, 0.0)


def mlflow_down(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGKILL of MLflow's server; after some seconds it is started again."""
    del run
    assert rig.tracking is not None
    rig.tracking.kill()
    time.sleep(chance.uniform(0.5, 4.0))
    rig.tracking.start_again()


def duplicate_message(rig: Rig, run: RunId, chance: random.Random) -> None:
    """A message of the run is delivered once more, while the first delivery is worked on or waits."""

    def duplicated() -> bool:
        found = _messages(rig.client, run)
        if found:
            queue, message = chance.choice(found)
            message["properties"]["delivery_tag"] = str(uuid4())  # type: ignore[index]
            rig.client.lpush(queue, json.dumps(message))
        return bool(found) or rig.reader.state(run).over

    holds(duplicated, 10)


def resend_run(rig: Rig, run: RunId, chance: random.Random) -> None:
    """The first messages of the run are sent once more, as when a submission is tried twice."""
    del chance

    def sent() -> bool:
        try:
            rig.submit_again(run)
        except OperationalError:
            return False
        return True

    holds(sent, 10)


def kill_coordinator(rig: Rig, run: RunId, chance: random.Random) -> None:
    """SIGKILL of the coordinator; another one is started."""
    del run, chance
    rig.kill_coordinator()


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_child,
        kill_worker,
        pause_worker,
        restart_redis,
        redis_away,
        redis_forgets,
        cut_connection,
        slow_store,
        mlflow_down,
        duplicate_message,
        resend_run,
        kill_coordinator,
    )
}

#: Those that stop the same thing: two of them at once would be a fault of the suite.
EXCLUSIVE = (
    {"restart_redis", "redis_away", "redis_forgets"},
    {"kill_coordinator"},
    {"slow_store"},
    {"mlflow_down"},
)


def _messages(client: Redis, run: RunId) -> list[tuple[str, dict[str, object]]]:
    """The run's messages, waiting and fetched, with their queues."""
    found = [(each.queue, dict(each.message)) for each in fetched_messages(client) if each.run == run]
    for queue in QUEUES.split(","):
        waiting = [json.loads(text) for text in cast("list[str]", client.lrange(queue, 0, -1))]
        found += [(queue, message) for message in waiting if run_of(message) == run]
    return found


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
