"""Runs actors one at a time, in an order that follows from a seed, on a clock of its own.

An actor is real code in a greenlet. Before each thing that it does to the outside, it calls `step`: there the
next actor is chosen, and time passes. So nothing happens between two steps, and a seed replays exactly.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet

#: When simulated time begins, in seconds since 1970.
DAWN = 1_800_000_000.0
#: Seconds that a step takes at the most.
STEP = 0.02


class Crash(BaseException):
    """Ends an actor: its process was killed."""


class Ended(Crash):
    """Ends one thread of a process, by an error of its own."""


class Endless(AssertionError):
    """The simulation does not come to its end."""


@dataclass(eq=False)
class Actor:
    """One thread of control: a slot of a worker, its heartbeat, the supervisor, a person."""

    name: str
    body: Callable[[], object]
    wakes: float  #: not chosen before
    owner: object = None  #: the worker or person that it belongs to
    process: Actor | None = None  #: whose thread it is: it ends with that
    error: BaseException | None = None  #: what it meets at its next step
    idle: bool = False  #: it waits until it is called
    about_to: str = "begin"
    killed: bool = False
    thread: greenlet = field(init=False)

    @property
    def over(self) -> bool:
        return bool(self.thread.dead)


@dataclass
class Event:
    """One step of a history."""

    number: int
    time: float
    actor: str
    did: str
    reply: object = ""  #: shown only where a history is told

    def __str__(self) -> str:
        reply = f" -> {str(self.reply)[:100]}" if self.reply != "" else ""
        return f"{self.number:5d} {self.time:8.3f}  {self.actor:<14} {self.did}{reply}"


class Scheduler:
    """The actors of one simulation, and its clock."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = DAWN
        self.steps = 0
        self.actors: list[Actor] = []
        self.history: list[Event] = []
        self.chosen: Actor | None = None
        self.before_step: Callable[[Actor], None] = lambda _: None
        self.time_passed: Callable[[float], None] = lambda _: None
        self._hub = getcurrent()
        self._stopped: Exception | None = None

    def spawn(
        self,
        name: str,
        body: Callable[[], object],
        *,
        after: float = 0.0,
        owner: object = None,
        process: Actor | None = None,
    ) -> Actor:
        """Let an actor begin, in so many seconds."""
        actor = Actor(name, body, self.now + after, owner, process)
        actor.thread = greenlet(lambda: self._live(actor), parent=self._hub)
        self.actors.append(actor)
        return actor

    def _live(self, actor: Actor) -> None:
        with suppress(Crash):
            actor.body()

    @property
    def current(self) -> Actor | None:
        """Who is running; None outside of all actors, where nothing is simulated."""
        chosen = self.chosen
        return chosen if chosen is not None and getcurrent() is chosen.thread else None

    def wall_clock(self) -> float:
        """What the clock of whoever runs shows: those of several machines differ."""
        skew: float = getattr(self.current.owner, "skew", 0.0) if self.current is not None else 0.0
        return self.now + skew

    def step(self, about_to: str, *, wait: float = 0.0) -> None:
        """Hand control back; returns when this actor is chosen again, at the earliest in `wait` seconds."""
        actor = self.current
        if actor is None:
            return
        if actor.killed:
            raise Crash
        actor.about_to, actor.wakes = about_to, self.now + wait
        self._hub.switch()
        if actor.killed:
            raise Crash
        if actor.error is not None:
            self.note(actor.name, f"ends by {actor.error!r}")
            raise actor.error
        self.history.append(Event(self.steps, self.now - DAWN, actor.name, about_to))

    def rest(self) -> None:
        """Wait until somebody calls this actor."""
        actor = self.current
        assert actor is not None
        actor.idle = True
        self.step("rest")

    def reply(self, reply: object) -> None:
        """Note what the step came to."""
        if self.current is not None and self.history:
            self.history[-1].reply = reply

    def note(self, who: str, did: str) -> None:
        """Write something down that nobody did by a step."""
        self.history.append(Event(self.steps, self.now - DAWN, who, did))

    def kill(self, actor: Actor) -> None:
        """End an actor where it is; whatever it still tries has no effect."""
        if actor.killed or actor.over:
            return
        actor.killed = True
        self.note(actor.name, "is killed")
        if actor in self.actors:
            self.actors.remove(actor)
        for thread in [other for other in self.actors if other.process is actor]:
            self.kill(thread)
        if self.current is not actor and actor.thread.gr_frame is not None:
            before, self.chosen = self.chosen, actor
            actor.thread.parent = getcurrent()
            actor.thread.throw(Crash())
            self.chosen = before

    def run(self, done: Callable[[], bool], *, steps: int) -> None:
        """Let actors take turns until `done`, which is asked where all of them wait for a while."""
        while True:
            now = self.now
            ready = [actor for actor in self.actors if actor.wakes <= now and not actor.idle]
            if not ready:
                if done():
                    return
                waking = [actor.wakes for actor in self.actors if not actor.idle]
                if not waking:
                    raise Endless("nobody has anything left to do")
                self._pass(min(waking) - self.now)
                continue
            actor = self.chance.choice(ready)
            self.steps += 1
            if self.steps > steps:
                raise Endless(f"it goes on after {steps} steps")
            self.before_step(actor)
            if actor.killed or actor.wakes > self.now:
                continue
            self.chosen = actor
            actor.thread.switch()
            self.chosen = None
            if self._stopped is not None:
                raise self._stopped
            if actor.over and actor in self.actors:
                self.actors.remove(actor)
            self._pass(self.chance.random() * STEP)

    def stop(self, why: Exception) -> None:
        """End the simulation at this step."""
        self._stopped = self._stopped or why

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.time_passed(seconds)

    def end(self) -> None:
        """End all actors."""
        for actor in list(self.actors):
            self.kill(actor)
