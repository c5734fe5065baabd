"""The local stack: a private Redis, workers for the queues, MLflow; all of it gone when the block is left."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO

from orchestrator.reaper import Reaper
from orchestrator.redis_url import socket_url
from orchestrator.stack.environment import (
    child_environment,
    stack_variables,
    thread_variables,
    users_tracking_uri,
)
from orchestrator.stack.errors import PortTaken, StackFailed
from orchestrator.stack.ports import ReservedPort, reserve_port
from orchestrator.stack.private_redis import (
    SOCKET,
    private_folder,
    remove_folder,
    start_redis,
    wait_for_redis,
)
from orchestrator.stack.process import Process, wait_until
from orchestrator.stack.redis_data import is_damaged, repairs
from orchestrator.stack.services import (
    FLOWER_PORT,
    MLFLOW_PORT,
    Service,
    mlflow_url,
    refresh_flower,
    start_creating_database,
    start_flower,
    start_mlflow,
    wait_for_database,
    wait_until_healthy,
)
from orchestrator.stack.signals import TerminationSignals
from orchestrator.stack.slots import slots_of
from orchestrator.stack_state import FILE as STATE_FILE
from orchestrator.stack_state import PRIVATE, StackState, write_state
from orchestrator.tracking_address import local_tracking_uri

Progress = Callable[[str], None]
BeforeWorkers = Callable[["EmbeddedStack"], None]

_HEALTHY_SECONDS = 90.0
#: How often a stack is started anew because a port was taken while a service got ready to listen on it.
_PORT_TRIES = 5
#: What a part is given to end, on top of the grace for running stages, before it is killed.
_STOP_MARGIN = 5.0


class EmbeddedStack:
    """A running stack. Start it in the main thread, by `with EmbeddedStack.start(...) as stack`.

    While it runs, SIGTERM and SIGHUP raise `Terminated` (a SystemExit) in the main thread, unless the program
    handles them itself, and leaving the block stops everything. If the program is killed, its reaper does it.
    """

    redis_url: str  #: for Celery; `client_url` makes redis-py's of it
    mlflow_tracking_uri: str
    mlflow_url: str | None = None  #: of the pages to look at
    flower_url: str | None = None

    def __init__(
        self, home: Path, slots: Mapping[str, int], *, services: bool, grace: float, lock: IO[str] | None
    ):
        self.home = home
        self.slots = slots
        self.logs = home / "logs"
        self._services = services
        self._grace = grace
        self._parts: list[Process] = []  # each is needed for as long as the stack is
        self._redis: Process | None = None
        self._database: Process | None = None
        self._ports: list[ReservedPort] = []
        self._signals = TerminationSignals()
        users = users_tracking_uri()
        self._own_mlflow = users is None
        self.mlflow_tracking_uri = users or local_tracking_uri(home)
        self._folder = private_folder()
        self._ready = self._folder / "ready"
        self.redis_url = socket_url(self._folder / SOCKET)
        self._private_state = home / PRIVATE / f"{self._folder.name}.json"
        state = home / STATE_FILE if services else self._private_state
        self._reaper = Reaper([self._folder, state], lock=lock)

    @classmethod
    def start(
        cls,
        home: Path,
        slots: Mapping[str, int],
        queues: Iterable[str],
        *,
        services: bool = False,
        grace: float = 2.0,
        on_progress: Progress = lambda _: None,
        before_workers: BeforeWorkers = lambda _: None,
        lock: IO[str] | None = None,
    ) -> EmbeddedStack:
        """Start it, and return when Redis answers; with `services`, when all the others are healthy as well.

        `queues` get workers; `slots` says how many stages each runs at once (`slots_of` has the defaults).
        With `services`, there are Flower and an MLflow server, and Redis keeps what it holds in `home`. When
        stopped, running stages get `grace` seconds. `before_workers` is called when Redis answers, and no
        worker has taken a message yet. The reaper inherits `lock`. Raises StackFailed or RedisNotFound, with
        nothing left running.
        """
        stack = cls(
            home.expanduser().absolute(), slots_of(queues, slots), services=services, grace=grace, lock=lock
        )
        try:
            stack._signals.install()
            for remaining in reversed(range(_PORT_TRIES)):
                try:
                    stack._start(on_progress, before_workers)
                    break
                except PortTaken as taken:
                    if not remaining:
                        raise
                    on_progress(f"{taken}; starting anew")
                    stack._end_parts(0.0)
        except BaseException:
            stack.stop()
            raise
        return stack

    def environment(self) -> dict[str, str]:
        """The variables with which another process, or this one, takes part in the stack."""
        return stack_variables(
            home=self.home, redis_url=self.redis_url, tracking_uri=self.mlflow_tracking_uri
        )

    def describe(self) -> StackState:
        """The stack's addresses and settings, for other processes."""
        from orchestrator.settings import settings  # late: it brings pydantic

        return StackState(
            pid=os.getpid(),
            started=datetime.now(UTC).isoformat(),
            redis_url=self.redis_url,
            mlflow_tracking_uri=self.mlflow_tracking_uri,
            mlflow_url=self.mlflow_url,
            flower_url=self.flower_url,
            slots=dict(self.slots),
            environment=self.environment(),
            modules=settings().modules,
        )

    @contextlib.contextmanager
    def announced(self) -> Iterator[None]:
        """Inside the block, commands in other terminals find the runs of this private stack."""
        write_state(self._private_state, self.describe())
        try:
            yield
        finally:
            self._private_state.unlink(missing_ok=True)

    def ready_queues(self) -> frozenset[str]:
        """The queues whose workers take messages by now. Messages sent earlier wait for them."""
        with contextlib.suppress(FileNotFoundError):
            return frozenset(path.name for path in self._ready.iterdir())
        return frozenset()

    def wait_until_ready(self, seconds: float) -> None:
        """Return when all queues have workers; raises StackFailed if a part ends, or it takes longer."""

        def settled() -> bool:
            return self.ready_queues() >= self.slots.keys() or self.failure() is not None

        if not wait_until(settled, seconds, poll=0.01):
            missing = sorted(self.slots.keys() - self.ready_queues())
            raise StackFailed(
                f"the workers of queue {missing[0]!r} were not ready within {seconds:.0f} s",
                hint=f"their logs are in {self.logs}",
            )
        self.check()

    def failure(self) -> StackFailed | None:
        """The failure of a part since the start, if any; cheap enough to be called often."""
        for part in self._parts:
            if part.exit_status is not None:
                return part.failure(f"ended unexpectedly with exit status {part.exit_status}")
        return None

    def check(self) -> None:
        """Raise StackFailed if a part has ended."""
        if error := self.failure():
            raise error

    def stop(self) -> None:
        """Stop everything; a second time it does nothing. Idle workers take a few tenths of a second."""
        try:
            self._end_parts(self._grace + _STOP_MARGIN)
        except BaseException:  # such as a second Ctrl-C: stop without grace
            self._end_parts(0.0)
            raise
        finally:
            remove_folder(self._folder)
            self._reaper.dismiss()
            self._signals.restore()

    def __enter__(self) -> EmbeddedStack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, on_progress: Progress, before_workers: BeforeWorkers) -> None:
        remove_folder(self._ready)
        self._ready.mkdir()
        on_progress("starting Redis")
        self._start_redis(on_progress)
        before_workers(self)
        with_mlflow = self._services and self._own_mlflow
        mlflow_port = self._reserve(MLFLOW_PORT) if with_mlflow else None
        if mlflow_port is not None:
            self.mlflow_tracking_uri = mlflow_url(mlflow_port)
        environment = child_environment(self.environment(), home=self.home)
        on_progress(f"starting workers for {', '.join(self.slots)}")
        self._start_workers(environment)
        if self._own_mlflow:
            self._start_database(environment)
        if self._services:
            on_progress("starting Flower and MLflow" if with_mlflow else "starting Flower")
            flower = self._start_services(environment, mlflow_port)
            on_progress("waiting for the workers")
            self.wait_until_ready(_HEALTHY_SECONDS)
            refresh_flower(flower)

    def _start_redis(self, on_progress: Progress) -> None:
        data = self.home / "redis" if self._services else None
        repairing = iter(()) if data is None else repairs(data)
        while True:
            redis = start_redis(self._folder, data=data, log=self._log("redis"), environment=os.environ)
            self._redis = redis
            self._add(redis)
            try:
                wait_for_redis(redis, self._folder)
            except StackFailed:
                told = next(repairing, None) if is_damaged(redis) else None
                if told is None:
                    raise
                on_progress(told)
                self._parts.remove(redis)
                self._reaper.drop(redis.pid)
            else:
                return

    def _start_workers(self, environment: Mapping[str, str]) -> None:
        from orchestrator.settings import settings  # late: it brings pydantic

        command = [sys.executable, "-m", "workers.multi_queue", "--parent", str(os.getpid())]
        command += ["--ready", str(self._ready), "--logs", str(self.logs), "--grace", str(self._grace)]
        command += [word for queue, count in self.slots.items() for word in ("--slots", f"{queue}={count}")]
        # The next stages run what is edited while the stack is up
        code = {} if "code" in settings().model_fields_set else {"ORCHESTRATOR_CODE": "reload"}
        variables = {**environment, **thread_variables(self.slots), **code}
        self._add(Process.start("workers", command, log=self._log("workers"), environment=variables))

    def _start_database(self, environment: Mapping[str, str]) -> None:
        log = self._log("mlflow")
        self._database = start_creating_database(self.home, log=log, environment=environment)
        if self._database is not None:
            self._reaper.add(self._database.pid)

    def _start_services(self, environment: Mapping[str, str], mlflow_port: int | None) -> Service:
        port = self._reserve(FLOWER_PORT)
        flower = start_flower(home=self.home, port=port, log=self._log("flower"), environment=environment)
        self._add(flower.process)
        services = [flower]
        if mlflow_port is not None:
            if self._database is not None:
                wait_for_database(self._database, _HEALTHY_SECONDS)
            log = self._log("mlflow")
            mlflow = start_mlflow(home=self.home, port=mlflow_port, log=log, environment=environment)
            self._add(mlflow.process)
            services.append(mlflow)
            self.mlflow_url = mlflow.url
        wait_until_healthy(services, _HEALTHY_SECONDS)
        self.flower_url = flower.url
        return flower

    def _reserve(self, wanted: int) -> int:
        port = reserve_port(wanted)
        self._ports.append(port)
        return port.number

    def _add(self, part: Process) -> None:
        self._parts.append(part)
        self._reaper.add(part.pid)

    def _end_parts(self, seconds: float) -> None:
        """End all, Redis last, because the workers write to it what they could not finish."""
        others = [part for part in self._parts if part is not self._redis]
        if self._database is not None:
            others.append(self._database)
        for part in others:
            part.signal(signal.SIGTERM)
        for part in others:
            part.end(seconds)
            self._reaper.drop(part.pid)
        if self._redis is not None:
            # A Redis that nobody will read again need not come to an orderly end.
            self._redis.signal(signal.SIGTERM if self._services else signal.SIGKILL)
            self._redis.end(_STOP_MARGIN)
            self._reaper.drop(self._redis.pid)
        for port in self._ports:
            port.release()
        self._parts, self._database, self._redis, self._ports = [], None, None, []

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
