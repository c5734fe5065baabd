"""What must hold after each step of a simulation, and at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.archive.rounds import Round
from orchestrator.authoring.graph import NodeName, group_and_index
from orchestrator.runs.states import RunState

if TYPE_CHECKING:
    from .simulation import Simulation

#: Below this, a number tells of no call.
FIRST_CALL = 1000

#: Transitions that may end a node.
_ENDING = {"commit", "commit_items", "expand", "fail", "skip", "reopen"}


class Broken(AssertionError):
    """Something that must hold does not."""


class Invariants:
    """Looks at the run's record and the store with eyes of its own."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.outputs: dict[str, Any] = {}  #: what readers agree on, by the name it is stored under
        self.succeeded: set[str] = set()  #: nodes and items, in the latest round
        self.cancelled: float | None = None  #: since when
        self.concluded: float | None = None  #: the same

    def after_transition(self, name: str, reply: Any) -> None:
        """Once a node has succeeded, what a reader loads for it never changes."""
        if name == "cancel" and str(reply[0]) == "cancelled":
            self.cancelled = self.simulation.world.now
        if name == "conclude" and str(reply) == "1":
            self.concluded = self.simulation.world.now
        if name == "reopen" and str(reply[0]) == "reopened":
            self.cancelled = self.concluded = None
            self.succeeded.clear()
        if name in _ENDING:
            self.look()

    def forget(self) -> None:
        """Redis has lost something: whether the run was cancelled is to be seen."""
        world = self.simulation.world
        if world.plain.hget(world.keys.meta, "state") != "cancelled":
            self.cancelled = None

    def look(self) -> None:
        """Read what has succeeded, and compare it with what was read before."""
        world = self.simulation.world
        stored = world.plain.hgetall(world.keys.nodes)
        states = {str(name): json.loads(text)["state"] for name, text in stored.items()}
        done = {name for name, state in states.items() if state == "succeeded"}
        self.succeeded |= done
        for name, output in self._read(done):
            before = self.outputs.setdefault(name, output)
            if before != output:
                raise Broken(f"what {name} gave was {before}, and is {output} for whoever reads it now")

    def _read(self, done: set[str]) -> Iterator[tuple[str, Any]]:
        """What readers find now."""
        simulation = self.simulation
        store, run = simulation.world.shared, simulation.world.run_id
        latest = Round.latest(store, run)
        for name in sorted(done):
            group, index = group_and_index(NodeName(name))
            if group not in simulation.graph or (index is None and simulation.graph[group].mapped):
                continue
            whole = latest.stored_as(group, index)
            stored = whole if index is None else f"{whole}[{index}]"
            if group in simulation.handlers and latest.number:
                stored = f"{stored}@{latest.number}"
            manifest = Manifest.read(store, run, stored)
            if manifest is not None:
                yield stored, manifest.output
                continue
            items = read_items(store, run, whole).outputs if index is not None else {}
            if index is None or index not in items:
                raise Broken(f"{name} has succeeded, and the store has no output of it")
            yield stored, items[index]

    def before_call(self, node: str) -> None:
        """A function begins: its needs are done, and its run is not cancelled."""
        simulation = self.simulation
        group, _ = group_and_index(NodeName(node))
        if self.cancelled is not None and simulation.claimed.get(node, 0.0) > self.cancelled:
            raise Broken(f"{node} begins, and was claimed after the run was cancelled")
        for need in simulation.graph[group].needs:
            if need not in self.succeeded:
                raise Broken(f"{node} begins, and {need}, which it needs, has not succeeded")

    def at_the_end(self) -> None:
        """The run has ended, and left nothing behind."""
        world = self.simulation.world
        if world.is_nothing():
            return
        self.look()
        state = world.plain.hget(world.keys.meta, "state")
        if state is None or not RunState(str(state)).over:
            raise Broken(f"the run is {state!s}")
        self._made_from_what_counts()
        self._tracked_once()
        for key in world.plain.keys("orc:{*"):
            if world.plain.ttl(key) < 0:
                raise Broken(f"{key!s} has no end")

    def _made_from_what_counts(self) -> None:
        """All that was committed was made from what was committed."""
        committed = set(_numbers([output.get("value") for output in self.outputs.values()]))
        for call, given in self.simulation.given.items():
            strange = set(_numbers(given)) - committed
            if call in committed and strange:
                raise Broken(f"call {call} counts, and was given {sorted(strange)}, which do not")

    def _is_too_late(self, made: float) -> bool:
        """Whether a process made an MLflow run when all was written down, and was killed before it knew.

        Known and not mended: nobody looks for it any more.
        """
        return self.concluded is not None and made > self.concluded

    def _tracked_once(self) -> None:
        """MLflow has at most one run of each node, and none that goes on."""
        nodes: set[str] = set()
        for run in self.simulation.world.mlflow.runs.values():
            if run.info.lifecycle_stage != "active" or self._is_too_late(run.made):
                continue
            node = run.data.tags.get("orchestrator.node", "")
            if node in nodes:
                raise Broken(f"MLflow has several runs of {node or 'the run'}")
            nodes.add(node)
            if run.info.status == "RUNNING":
                raise Broken(f"MLflow has {node or 'the run'} as RUNNING")


def _numbers(given: Any) -> Iterator[int]:
    """The calls that values come from: a list's number theirs a hundred times."""
    if isinstance(given, list | tuple):
        for each in given:
            yield from _numbers(each)
    elif isinstance(given, int) and given >= FIRST_CALL:
        yield given // 100 if given >= 100 * FIRST_CALL else given
