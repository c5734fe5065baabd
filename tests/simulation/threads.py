"""Threads, events and locks of the code under test, as actors that take their turn like all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace, TracebackType

from .scheduler import Actor, Scheduler

#: Seconds between two tries to take a lock.
TRY = 0.05


class Thread:
    """Runs a function as an actor that ends with the process that started it."""

    def __init__(
        self, world: Scheduler, target: Callable[..., object], args: Iterable[object], name: str
    ) -> None:
        self._world, self._body, self._name = world, lambda: target(*args), name

    def start(self) -> None:
        """Let it begin."""
        starter = self._world.current
        assert starter is not None
        name = f"{starter.name}, {self._name}"
        self._world.spawn(name, self._body, owner=starter.owner, process=starter.process or starter)


class Event:
    """A flag that is waited for."""

    def __init__(self, world: Scheduler, name: str = "an event") -> None:
        self._world, self._name, self._set = world, name, False

    def set(self) -> None:
        """Raise it."""
        self._set = True

    def is_set(self) -> bool:
        """Whether it was raised."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait as long; whether it was raised meanwhile."""
        if not self._set:
            self._world.step(f"wait for {self._name}", wait=seconds)
        return self._set


class Lock:
    """One that its holder may take again."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world
        self._holder: Actor | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = self._world.current
        while self._holder not in (None, me):
            self._world.step("wait for a lock", wait=TRY)
        self._holder = me
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = None


def threading_of(world: Callable[[], Scheduler]) -> SimpleNamespace:
    """What takes the place of the module `threading`."""

    def thread(
        *, target: Callable[..., object], args: Iterable[object] = (), name: str = "", daemon: bool
    ) -> Thread:
        del daemon
        return Thread(world(), target, args, name)

    return SimpleNamespace(Thread=thread, Event=lambda: Event(world()), RLock=lambda: Lock(world()))
