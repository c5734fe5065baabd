"""What a stack needs, checked one thing after the other: each check says what it found and what to do."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from configparser import ConfigParser
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from redis.exceptions import NoPermissionError

from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.backend import local_folder
from orchestrator.authoring.masking import mask_text
from orchestrator.client.connection import join_stack
from orchestrator.client.formatting import data_size
from orchestrator.errors import OrchestratorError
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.runs.connection import connect_redis, redis_time, require_fit
from orchestrator.runs.presence import WorkerPresence, present_workers
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

#: Seconds that one check may take.
PATIENCE = 10.0
#: Seconds by which two clocks may differ.
CLOCKS = 2.0
#: Of a disk: what has to be free, as a share of it and in bytes; of Redis's memory: what may be used.
FREE_SHARE, FREE_BYTES, USED_MEMORY = 0.05, 1_000_000_000, 0.9

#: What a server answers to somebody it does not know.
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str  #: of the check
    level: Level
    told: str
    hint: str = ""  #: what to do


@dataclass
class Checkup:
    """The checks of the stack that these settings lead to."""

    settings: Settings
    clock: Callable[[], float] = time.time
    _redis: Redis | None = field(default=None, init=False)

    def findings(self) -> Iterator[Finding]:
        """Each finding as it is made; a check that fails in an unforeseen way is a fault of its own."""
        # What waits for the network or for imports waits at the same time; two need the first one's Redis.
        redis, store, mlflow, pipelines = map(
            _begin, (self._check_redis, self._check_store, self._check_mlflow, self._check_pipelines)
        )
        checks: Mapping[str, Callable[[], Iterable[Finding]]] = {
            "redis": redis,
            "clock": lambda: _begin(self._check_clocks)(),
            "store": store,
            "disk": self._check_disk,
            "mlflow": mlflow,
            "workers": lambda: _begin(self._check_workers)(),
            "pipelines": pipelines,
        }
        for name, check in checks.items():
            try:
                yield from check()
            except TimeoutError:
                yield Finding(name, Level.FAULT, f"no answer within {PATIENCE:g} s")
            except OrchestratorError as error:
                yield Finding(name, Level.FAULT, str(error), error.hint or "")
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge: whatever it is, it is told
                yield Finding(name, Level.FAULT, mask_text(f"{type(error).__name__}: {error}"))

    def _check_redis(self) -> Iterator[Finding]:
        url = self.settings.redis_url
        if url is None:
            from orchestrator.stack.redis_program import find_redis  # nothing is up: what would be started

            yield Finding("redis", Level.OK, f"none is up; a private one would be {find_redis()}")
            return
        where = mask_text(url)
        client = connect_redis(url)
        self._redis = client  # what is unfit to keep runs still tells the time, and who is there
        doubt = require_fit(client, evicting=self.settings.redis_eviction)
        try:
            told = {**client.info("server"), **client.info("memory"), **client.info("persistence")}
        except NoPermissionError:
            yield Finding("redis", Level.OK, f"answers at {where}")
            yield Finding("redis memory", Level.WARNING, str(doubt))
            return
        yield Finding("redis", Level.OK, f"version {told['redis_version']} answers at {where}")
        if doubt:
            yield Finding("redis eviction", Level.WARNING, doubt)
        limit, used = int(told.get("maxmemory", 0)), int(told["used_memory"])
        if limit and used > USED_MEMORY * limit:
            yield Finding(
                "redis memory",
                Level.FAULT,
                f"{used / limit:.0%} of {data_size(limit)} are used",
                "raise maxmemory, or lower ORCHESTRATOR_RETENTION_DAYS; a full Redis refuses new messages",
            )
        if not int(told.get("aof_enabled", 0)):
            yield Finding(
                "redis persistence",
                Level.WARNING,
                "no append-only file: a restart of Redis loses what is live",
                "set appendonly yes; runs are carried on with `orchestrator resume` in any case",
            )

    def _check_clocks(self) -> Iterator[Finding]:
        if self._redis is None:
            yield self._without_redis("clock")
            return
        hint = "synchronise the clocks of all machines (NTP)"
        ahead = self.clock() - redis_time(self._redis)
        if abs(ahead) > CLOCKS:
            told = f"this machine is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} Redis"
            yield Finding("clock", Level.FAULT, told, hint)
        else:
            yield Finding("clock", Level.OK, f"within {CLOCKS:.0f} s of Redis")
        for worker in present_workers(self._redis):
            if worker.ahead is not None and abs(worker.ahead) > CLOCKS:
                direction = "ahead" if worker.ahead > 0 else "behind"
                told = f"{worker.name} is {abs(worker.ahead):.1f} s {direction}"
                yield Finding("clock", Level.FAULT, told, hint)

    def _check_store(self) -> Iterator[Finding]:
        url = self.settings.store_url
        folder = local_folder(url)
        if folder is not None and not folder.exists():
            there = _nearest(folder)
            if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
                yield Finding("store", Level.OK, f"{folder} is made by the first run")
            else:
                told = f"{folder} cannot be made: {there} is no folder that this user may write to"
                yield Finding("store", Level.FAULT, told, "set ORCHESTRATOR_HOME or ORCHESTRATOR_STORE")
            return
        store = ArtifactStore(url)
        key = f"doctor/{time.time_ns():x}"
        if not store.create(key, b"1"):
            yield Finding("store", Level.FAULT, f"{store.url} says that a new key exists")
            return
        try:
            if store.create(key, b"2") or store.read(key) != b"1":
                yield Finding(
                    "store",
                    Level.FAULT,
                    f"{store.url} lets a second write replace the first",
                    "it needs conditional writes (If-None-Match: *), or a stage could be committed twice",
                )
                return
        finally:
            store.remove(key)
        yield Finding("store", Level.OK, f"{store.url} is written, read and refuses a second write")

    def _check_disk(self) -> Iterator[Finding]:
        places = {"home": self.settings.home, "temporary files": Path(tempfile.gettempdir())}
        if (folder := local_folder(self.settings.store_url)) is not None:
            places["store"] = folder
        worst = None
        for name, place in places.items():
            there = _nearest(place)
            usage = shutil.disk_usage(there)
            if usage.free < FREE_BYTES or usage.free < FREE_SHARE * usage.total:
                told = f"{data_size(usage.free)} of {data_size(usage.total)} are free for {name} ({there})"
                yield Finding("disk", Level.FAULT, told, "free some; `orchestrator prune` removes old runs")
                worst = name
        if worst is None:
            yield Finding("disk", Level.OK, f"enough is free for {', '.join(places)}")

    def _check_mlflow(self) -> Iterator[Finding]:
        uri, ours = self.settings.tracking_uri, version("mlflow")
        if not uri.startswith(("http://", "https://")):
            yield Finding("mlflow", Level.OK, f"{mask_text(uri)}, without a server; version {ours}")
            return
        try:
            theirs = _version_of_mlflow(uri)
        except (OSError, ValueError) as error:
            if isinstance(error, HTTPError) and error.code in _REFUSED:
                found = "refuses our credentials"
                hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ~/.mlflow/credentials"
            else:
                found = "does not answer"
                hint = "start it, or correct MLFLOW_TRACKING_URI; runs go on, and are written there later"
            yield Finding("mlflow", Level.FAULT, f"{mask_text(uri)} {found}: {error}", hint)
            return
        if _release(theirs) < _release(ours):
            told = f"its server has version {theirs}, older than the client's {ours}"
            yield Finding(
                "mlflow", Level.FAULT, told, "upgrade the server first: clients use what it may not know"
            )
        else:
            yield Finding("mlflow", Level.OK, f"{mask_text(uri)} answers, version {theirs}")

    def _check_workers(self) -> Iterator[Finding]:
        if self._redis is None:
            yield self._without_redis("workers")
            return
        workers = present_workers(self._redis)
        served = {queue for worker in workers for queue in worker.queues}
        for queue in self.settings.queues:
            if queue not in served:
                told = f"no worker serves the queue '{queue}'"
                yield Finding("workers", Level.FAULT, told, f"start one: orchestrator worker {queue}")
        ours = version("celery-ml-orchestrator")
        for worker in _of_another_version(workers, ours):
            told = f"{worker.name} has version {worker.version}, and this is {ours}"
            yield Finding("workers", Level.FAULT, told, "upgrade the older one")
        if workers and served >= set(self.settings.queues):
            yield Finding("workers", Level.OK, f"{len(workers)} serve {', '.join(sorted(served))}")

    def _check_pipelines(self) -> Iterator[Finding]:
        catalogue = load_catalogue(self.settings.modules)
        for broken in catalogue.broken:
            yield Finding("pipelines", Level.FAULT, str(broken), "see ORCHESTRATOR_PIPELINES")
        if catalogue.pipelines:
            names = ", ".join(each.name for each in catalogue.pipelines)
            yield Finding("pipelines", Level.OK, f"{names} can be imported")
        elif not catalogue.broken:
            where = ", ".join(self.settings.modules)
            yield Finding(
                "pipelines", Level.WARNING, f"there are none in {where}", "see ORCHESTRATOR_PIPELINES"
            )

    def _without_redis(self, name: str) -> Finding:
        why = "nothing is up" if self.settings.redis_url is None else "Redis does not answer"
        return Finding(name, Level.SKIPPED, why)


def examine(settings: Callable[[], Settings]) -> Iterator[Finding]:
    """Check the stack that is up, else the Redis of the settings, else what a private stack would use."""
    join_stack()
    yield from Checkup(settings()).findings()


def _begin(check: Callable[[], Iterable[Finding]]) -> Callable[[], list[Finding]]:
    """Start a check; what is returned waits for its findings.

    That raises TimeoutError if the check takes too long, and leaves it alone from then on.
    """
    answer: Future[list[Finding]] = Future()
    deadline = time.monotonic() + PATIENCE

    def work() -> None:
        try:
            answer.set_result(list(check()))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            answer.set_exception(error)

    Thread(target=work, daemon=True).start()
    return lambda: answer.result(max(0.0, deadline - time.monotonic()))


def _of_another_version(workers: Iterable[WorkerPresence], ours: str) -> Iterator[WorkerPresence]:
    return (worker for worker in workers if worker.version not in ("", ours))


def _nearest(place: Path) -> Path:
    """The place, or the nearest folder above it that exists."""
    return next(each for each in (place, *place.absolute().parents) if each.exists())


def _version_of_mlflow(uri: str) -> str:
    """What the MLflow server at `uri` calls its version; raises OSError or ValueError.

    Behind a password, its servers tell nobody else: the credentials are those that MLflow's client would use.
    """
    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/version")
    request = urllib.request.Request(address.geturl())  # noqa: S310 - of the settings
    user, password = _credentials_of_mlflow()
    if user is not None and password is not None:
        pair = f"{user}:{password}"
    else:
        pair = unquote(parts.netloc.rpartition("@")[0])
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    elif pair:
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - of the settings
        told: bytes = answer.read(100)
    return told.decode().strip()


def _credentials_of_mlflow() -> tuple[str | None, str | None]:
    """User and password, each from the environment, else from the file where MLflow's client looks."""
    file = ConfigParser(interpolation=None)
    file.read(Path("~/.mlflow/credentials").expanduser(), encoding="utf-8")
    user, password = (
        os.environ.get(name) or file.get("mlflow", name.lower(), fallback=None)
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    )
    return user, password


def _release(text: str) -> tuple[int, ...]:
    """Major and minor version."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
