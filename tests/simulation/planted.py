"""Known faults of the past that are put back into the code, to see that a simulation finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

import orchestrator.lifecycle.ending as ending
import orchestrator.lifecycle.submission as submission
import workers.runtime.builtin_tasks as builtin_tasks
import workers.runtime.conclude as conclude
import workers.runtime.heartbeat as heartbeat
import workers.tracking.models as models
import workers.tracking.runs as tracked_runs
from orchestrator.archive import run_record, specification
from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.coordinator.supervisor import Supervisor
from orchestrator.runs import scripts
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.keys import WORKER
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import FencingNumber
from workers.runtime.claimed_node import ClaimedNode
from workers.runtime.identity import Identity, identity
from workers.runtime.resources import WorkerResources
from workers.tracking.records import AttemptInfo, NoFence
from workers.tracking.runs import KeyedRuns

from . import people, stepped_redis, workers
from .stepped_redis import SteppedRedis

if TYPE_CHECKING:
    from .laboratory import Laboratory

Change = Callable[[], None]


def _script(name: str, real: str, planted: str) -> Change:
    """A transition, or the prelude of all, with one expression replaced."""
    return lambda: stepped_redis.planted.append((name, real, planted))


def _instead(place: Any, **what: Any) -> Change:
    """A module or class that has something else under these names."""

    def change() -> None:
        for name, value in what.items():
            assert hasattr(place, name), f"{place} has no {name} any more"
            setattr(place, name, value)

    return change


def _all(*changes: Change) -> Change:
    def change() -> None:
        for each in changes:
            each()

    return change


def _nothing(*_: object, **__: object) -> None: ...


def _reopen_what_is_left(real: Callable[..., Any] = RunStore.reopen) -> Change:
    """A run of which nothing is left to do is refused, as one that Redis does not know."""

    def reopen(self: RunStore, run: Any, reopening: Any) -> Any:
        if not reopening.open:
            raise UnknownRun(f"Redis knows no run '{run}'")
        return real(self, run, reopening)

    return _instead(RunStore, reopen=reopen)


def _ids_in_redis_only() -> Change:
    """What MLflow has is known to Redis, and looked for by nobody."""

    def remember(self: WorkerResources, key: str, made: str) -> str:
        return self.runs.remember(_run(key), key, made)

    def recall(self: WorkerResources, key: str) -> str | None:
        return self.runs.recall(_run(key), key)

    def _run(key: str) -> Any:
        return key.partition("/")[0]

    return _all(
        _instead(WorkerResources, _remember=remember, _recall=recall),
        _instead(AttemptInfo, fresh=property(lambda _: True)),
        _instead(tracked_runs, _weight=lambda run: -run.info.start_time),  # of several, the older counts
    )


def _latest_by_clock(found: Iterable[Any], _: object) -> Any:
    """Of several models, the one counts that was made later by its machine's clock."""
    return max(found, key=lambda model: model.creation_timestamp)


def _renew_and_end_nothing() -> None:
    real = heartbeat.renew_leases
    heartbeat.renew_leases = lambda: real() and []


def _cancel_by_the_store() -> None:
    """What the run consists of is read before it is cancelled."""
    real = ending.cancel

    def cancel(run: Any, *, store: Any, runs: RunStore) -> int:
        Specification.read(store, run)
        return real(run, store=store, runs=runs)

    _instead(people, cancel=cancel)()


def _ids_of_several(real: Callable[..., bool] = RunStore.submit) -> Change:
    """Whoever comes second has the first one's run."""

    def write(self: Specification, store: Any) -> bool:
        store.create(specification._key(self.run), self._text())
        return True

    def submit(self: RunStore, *args: Any, **options: Any) -> bool:
        real(self, *args, **options)
        return True

    return _all(_instead(Specification, write=write), _instead(RunStore, submit=submit))


def _rounds_of_several(real: Callable[..., bool] = Round.write) -> Change:
    def write(self: Round, store: Any, run: Any) -> bool:
        real(self, store, run)
        return True

    return _all(
        _instead(Round, write=write),
        _script("reopen", "if stands ~= ARGV[12] then", "if false then"),
    )


def _refuse(*_: object, **__: object) -> None:
    raise OperationalError("the messages of the run cannot be sent")


def _present_for_an_hour() -> None:
    """As a worker whose clock is an hour ahead was, when presence was told by clocks."""
    real = heartbeat.publish_presence

    def say(queues: Iterable[str]) -> None:
        real(queues)
        SteppedRedis.faults.raw.pexpire(WORKER.format(name=identity().name), 3_600_000)

    heartbeat.publish_presence = say


def _written_by_whoever_comes_last() -> None:
    """One end of a run is written down, whatever has become of the run meanwhile."""
    real = KeyedRuns.parent

    def write_down(run: Any, resources: Any) -> None:
        end = conclude._latest_end(run, resources)
        if end is not None:
            told = conclude._write_down(end, resources)
            resources.runs.conclude(
                run, end.told_as, mlflow_run_id=told, retention=resources.settings.retention
            )

    def parent(self: KeyedRuns, *args: Any) -> Any:
        run = deepcopy(real(self, *args))
        run.data.tags.pop(models.ROUND, None)
        return run

    _instead(builtin_tasks, conclude=write_down)()
    _instead(KeyedRuns, parent=parent)()


_SPEAKS = "return record.state == 'running' and (record.token == token or record.holder == token)"
_IN_TIME = (
    "if until_ms and (NOW_MS > until_ms or tonumber(redis.call('ZSCORE', LEASES, holder) or 0) > NOW_MS) then"
)

#: By what they are called on the command line; `test_simulation.py` has each of them found.
PLANTED: Mapping[str, Change] = {
    "needs counted twice": _script(
        "prelude",
        "redis.call('HINCRBY', MISSING, name, -1) == 0",
        "redis.call('HINCRBY', MISSING, name, -2) <= 0",
    ),
    "claim without needs": _script("claim", "if missing(node) > 0 then", "if false then"),
    "items by name": _instead(FencingNumber, __lt__=lambda *_: False),
    "commit without lease": _script("prelude", _SPEAKS, "return record.state == 'running'"),
    "lost items are nobody's": _script("mark_lost", "redis.call('ZADD', DUE, NOW_MS, group)", ""),
    "nothing left is nothing known": _reopen_what_is_left(),
    "MLflow known to Redis only": _ids_in_redis_only(),
    "attempts log without a fence": _instead(ClaimedNode, _fence=lambda _: NoFence()),
    "nobody concludes again": _instead(workers, conclude_again=_nothing),
    "models by the clock": _instead(tracked_runs, _that_counts=_latest_by_clock),
    "a lost lease ends nothing": _renew_and_end_nothing,
    "cancelled only once": _script("cancel", "if not at_work then", "if true then"),
    "cancelled with the store only": _cancel_by_the_store,
    "a lost node is not due": _script("mark_lost", "else\n      redis.call('ZADD', DUE, NOW_MS, name)", ""),
    "nothing sent again": _instead(Supervisor, _send_due_again=_nothing),
    "one holder for two deliveries": _instead(
        Identity, delivery=lambda self, message, _: f"{self.instance}#{message}"
    ),
    "the heartbeat ends silently": _instead(heartbeat, os=SimpleNamespace(kill=_nothing, getpid=_nothing)),
    "unreadable for ever": _instead(Supervisor, _fail_unreadable=_nothing),
    "a script over two slots": _script(
        "submit", "emit('', 'pending')", "emit('', 'pending') redis.call('SADD', 'orc:open', ARGV[1])"
    ),
    "concluded while Redis remembers": _instead(
        run_record, _mark=lambda run, round: f"elsewhere/{run}@{round}"
    ),
    "concluded by a queue that nobody serves": _instead(
        ending, queue_with_mlflow=lambda _, queues: max(queues)
    ),
    "keys without an end": _script(
        "conclude", "for _, key in ipairs(KEPT) do redis.call('EXPIRE', key, ARGV[3]) end", ""
    ),
    "an id for two runs": _ids_of_several(),
    "a round begun twice": _rounds_of_several(),
    "refused and sent later": _instead(submission, log=SimpleNamespace(warning=_refuse)),
    "a dead worker is believed": _present_for_an_hour,
    "a renewed lease is ended": _script("mark_lost", _IN_TIME, "if until_ms and NOW_MS > until_ms then"),
    "a paused leader acts": _script("mark_lost", _IN_TIME, "if false then"),
    "an earlier end is written last": _written_by_whoever_comes_last,
    "a cancelled run goes on": _script("claim", "if OVER[run_state] or", "if"),
}


def plant(name: str, ready: Laboratory) -> None:
    """Put a fault into this process's code, and into Redis's scripts."""
    PLANTED[name]()
    scripts.source.cache_clear()
    ready.load_scripts()
