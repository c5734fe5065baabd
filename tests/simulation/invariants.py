"""What must hold after each step of a simulation, and at its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from orchestrator.archive.manifest import Manifest, read_items
from orchestrator.archive.run_record import read_final
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.graph import (
    Node,
    NodeName,
    group_and_index,
    indexes_of,
    item_at,
    item_name,
    node_of,
)
from orchestrator.errors import OrchestratorError
from orchestrator.runs.errors import RunIsOver
from orchestrator.runs.states import RunState
from workers.tracking.models import order_of
from workers.tracking.records import AttemptOrder
from workers.tracking.runs import status_of

from .people import IdTaken
from .scheduler import Actor
from .workers import Worker

if TYPE_CHECKING:
    from .simulation import Simulation

#: Below this, a number tells of no call.
FIRST_CALL = 1000
#: Heartbeats by which a worker has ended what is not to go on.
BEATS = 2

#: What an attempt writes to MLflow until it looks again whether it still may: it takes a run up, by two
#: calls, and leaves it as it was.
LATE_WRITES = 4

#: Faults after which nobody but the workers has to send a message.
_LOSE_NOTHING = {"kill child", "double message", "early message", "conclude"}
#: Transitions that may end a node.
_ENDING = {"commit", "commit_items", "expand", "fail", "skip", "reopen"}


class Broken(AssertionError):
    """Something that must hold does not."""


@dataclass
class _Work:
    """A stage's function that runs."""

    actor: Actor
    claimed: float
    superseded: float | None = None  #: since when its node is another attempt's


class Invariants:
    """Looks at the run's record and the store with eyes of its own."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.outputs: dict[str, Any] = {}  #: what readers agree on, by the name it is stored under
        self.succeeded: set[str] = set()  #: nodes and items, in the latest round
        self.cancelled: float | None = None  #: since when
        self.claimed: dict[tuple[str, Actor], float] = {}  #: when a node was claimed, by whom
        self.forgot = 0.0  #: when Redis lost something last
        self.reopened = 0.0  #: when the latest round began
        self.leases: dict[str, float] = {}  #: until when, by who holds them, as far as Redis has not lost any
        self.tokens: dict[str, tuple[str, str]] = {}  #: of the attempt that has a node, and its delivery
        self.rounds: set[str] = set()  #: that have begun in Redis
        self.work: dict[str, list[_Work]] = {}  #: by the node that it is done for
        self.lost: set[tuple[str, Actor]] = set()  #: which node was taken from whom
        self.written_late: Counter[tuple[str, Actor]] = Counter()  #: to MLflow, by whom a node was taken from

    # After each transition

    def after_transition(self, name: str, arguments: Sequence[Any], reply: Any) -> None:
        """What a transition has told somebody."""
        match name:
            case "claim" if str(reply[0]) == "claimed":
                self._has_claimed([str(arguments[0])], arguments)
            case "take" if str(reply[0]) == "taken":
                indexes = reply[2 : 2 + 6 * int(reply[1]) : 6]
                items = [item_name(NodeName(str(arguments[0])), int(index)) for index in indexes]
                self._has_claimed(items, arguments)
            case "commit" | "fail" | "retry" if str(reply[0]) != "lost":
                self._was_its_own(name, str(arguments[0]), str(arguments[1]))
                if name == "commit" and str(reply[2]):  # its delivery continues with another node
                    self._has_claimed([str(reply[2])], arguments[8:])
            case "resend" if str(reply[0]) == "due" and self._loses_nothing():
                raise Broken(f"{arguments[0]} has to be sent again, and nothing was lost")
            case "renew" if str(reply[0]) == "renewed" and str(arguments[0]) in self.leases:
                self._lease(arguments[0], arguments[1])
            case "mark_lost" if int(reply[1]) and arguments[3] != "":
                self._has_released(str(arguments[0]), float(arguments[3]) / 1000)
            case "cancel" if str(reply[0]) == "cancelled" and self.cancelled is None:
                self.cancelled = self.simulation.world.now
            case "reopen" if str(reply[0]) == "reopened":
                self._has_reopened(str(arguments[6]))
        if name in _ENDING:
            self.look()

    def _loses_nothing(self) -> bool:
        """Whether the case has only faults after which every node has its message all the same."""
        return all(str(fault.kind) in _LOSE_NOTHING for fault in self.simulation.case.faults)

    def _has_claimed(self, nodes: Sequence[str], arguments: Sequence[Any]) -> None:
        now = self.simulation.world.now
        self._lease(arguments[2], arguments[4])
        for node in nodes:
            self.tokens[node] = (str(arguments[1]), str(arguments[2]))
            self._was_taken(node)
            self.claimed[node, self.simulation.world.actor] = now
            for earlier in self.work.get(node, ()):
                earlier.superseded = earlier.superseded or now

    def _was_taken(self, node: str) -> None:
        own = (node, self.simulation.world.actor)
        self.lost |= {claim for claim in self.claimed if claim[0] == node}
        self.lost.discard(own)
        self.written_late[own] = 0

    def written(self, node: str) -> None:
        """An attempt writes to MLflow: one that is not the node's any more finds that out."""
        current = self.simulation.world.current
        if current is None or (node, current) not in self.lost:
            return
        message = current.owner.active.get(current) if isinstance(current.owner, Worker) else None
        if message is not None and "node" not in message.kwargs:
            return  # it delivers what attempts have left, or concludes the run
        self.written_late[node, current] += 1
        if self.written_late[node, current] > LATE_WRITES:
            raise Broken(f"{node} is written to MLflow by an attempt that it was taken from")

    def _was_its_own(self, what: str, node: str, token: str) -> None:
        """Only the attempt that has a node ends it: by its own token, or by its delivery."""
        if token not in self.tokens.get(node, (token,)):
            raise Broken(f"{what} of {node} by an attempt that it was taken from")

    def _lease(self, holder: object, milliseconds: object) -> None:
        self.leases[str(holder)] = self.simulation.world.now + int(str(milliseconds)) / 1000

    def _has_released(self, holder: str, until: float) -> None:
        now = self.simulation.world.now
        if now > until + 0.001:
            raise Broken(f"{holder} is ended {now - until:.1f} s after that was worth anything")
        if self.leases.get(holder, 0.0) > now + 0.001:
            raise Broken(f"{holder} is ended {self.leases[holder] - now:.1f} s before its lease is over")

    def after_lease_dropped(self, holder: str) -> None:
        """Whoever is done with a delivery drops its lease, and nobody else's."""
        self.leases.pop(holder, None)
        for node, works in self.work.items():
            for work in works:
                worker = work.actor.owner
                assert isinstance(worker, Worker)
                is_another = work.actor is not self.simulation.world.actor and work.claimed > self.forgot
                if is_another and worker.holder(work.actor) == holder:
                    raise Broken(f"the lease of {holder} is dropped, which works on {node}")

    def _has_reopened(self, round: str) -> None:
        if round in self.rounds:
            raise Broken(f"round {round} begins twice")
        self.rounds.add(round)
        self.reopened = self.simulation.world.now
        self.cancelled = None
        self.succeeded.clear()

    def forget(self) -> None:
        """Redis has lost something: whether the run was cancelled is to be seen, and who works on what."""
        world = self.simulation.world
        if world.plain.hget(world.keys.meta, "state") != "cancelled":
            self.cancelled = None
        self.leases.clear()
        self.tokens.clear()
        self.succeeded |= self._succeeded_in_redis()  # also of a round before the one that is forgotten
        self.forgot = world.now

    # What has succeeded

    def look(self) -> None:
        """Read what has succeeded, and compare it with what was read before."""
        done = self._succeeded_in_redis()
        self.succeeded |= done
        for name, output in self._read(done):
            before = self.outputs.setdefault(name, output)
            if before != output:
                raise Broken(f"what {name} gave was {before}, and is {output} for whoever reads it now")

    def _succeeded_in_redis(self) -> set[str]:
        world = self.simulation.world
        stored = world.plain.hgetall(world.keys.nodes)
        return {str(name) for name, text in stored.items() if json.loads(text)["state"] == "succeeded"}

    def _read(self, done: set[str]) -> Iterator[tuple[str, Any]]:
        """What readers find now."""
        simulation = self.simulation
        store, run = simulation.world.shared, simulation.world.run_id
        latest = simulation.world.round()
        for name in sorted(done):
            _, index = group_and_index(name)
            if node_of(name) not in simulation.graph or self._is_map(name):
                continue
            whole = latest.stored_as(NodeName(name))
            stored = whole if index is None else f"{whole}[{index}]"
            if name in simulation.handlers and latest.number:
                stored = f"{stored}@{latest.number}"
            manifest = Manifest.read(store, run, stored)
            if manifest is not None:
                yield stored, manifest.output
                continue
            items = read_items(store, run, whole).outputs if index is not None else {}
            if index is None or index not in items:
                raise Broken(f"{name} has succeeded, and the store has no output of it")
            yield stored, items[index]

    # Around the call of a stage's function

    def before_call(self, node: str) -> None:
        """A function begins: its needs are done, its run is not cancelled, and was not refused."""
        simulation, actor = self.simulation, self.simulation.world.actor
        graph, name = simulation.graph, node_of(node)
        claimed = self.claimed.get((node, actor))
        if claimed is None:
            raise Broken(f"{node} begins, and {actor.name} has not claimed it")
        if self.cancelled is not None and claimed > self.cancelled:
            raise Broken(f"{node} begins, and was claimed after the run was cancelled")
        is_known = claimed > min(self.forgot, self.reopened)  # else of a round that Redis has forgotten
        for need in graph[name].needs:
            taken = item_at(need, indexes_of(node)[: graph.shared(name, need)])
            if taken not in self.succeeded and need not in self.succeeded and is_known:
                raise Broken(f"{node} begins, and {taken}, which it needs, has not succeeded")
        told = simulation.people.submitted
        is_all = not simulation.world.people and not simulation.people.resumed
        if told and is_all and all(isinstance(reply, Exception) for reply in told):
            raise Broken(f"{node} begins, and who submitted was told {told[0]!r}")
        self.work.setdefault(node, []).append(_Work(actor, claimed))

    def after_call(self, node: str) -> None:
        """A function has returned: it was not to be ended before."""
        actor = self.simulation.world.actor
        for work in self.work.get(node, ()):
            if work.actor is actor:
                self.work[node].remove(work)
                self._was_to_go_on(node, actor.owner, work)
                return

    def _was_to_go_on(self, node: str, worker: object, work: _Work) -> None:
        assert isinstance(worker, Worker)
        if work.claimed <= self.forgot:  # Redis may not know of this attempt
            return
        for since, why in ((self.cancelled, "its run was cancelled"), (work.superseded, "it was taken over")):
            beats = sum(began > since for began in worker.beats) if since is not None else 0
            if beats >= BEATS:
                raise Broken(f"{node} was at work for {beats} heartbeats after {why}")

    def message_taken(self, worker: Worker) -> None:
        """A worker has fetched a message: it says that it is there, and renews its leases."""
        if worker.pulse.over and not worker.leaving:
            raise Broken(f"{worker.name} takes a message, and its heartbeat has ended")

    # What people are told

    def told(self, reply: object) -> None:
        """Nobody is told of an error that is none of ours, nor of one of the services that we stand on."""
        if isinstance(reply, Exception) and not isinstance(
            reply, OrchestratorError | RedisError | OperationalError | IdTaken
        ):
            raise Broken(f"somebody is told {reply!r}") from reply

    def told_of_cancel(self, reply: object) -> None:
        """Who cancels needs no store, and may do so again."""
        world = self.simulation.world
        if isinstance(reply, StoreError):
            raise Broken(f"nobody can cancel the run: {reply}")
        state = world.plain.hget(world.keys.meta, "state")
        if isinstance(reply, RunIsOver) and state == "cancelled" and not self.rounds:
            raise Broken(f"who cancels the run again is told {reply!r}")

    # At the end

    def at_the_end(self) -> None:
        """The run has ended, and left nothing behind."""
        world = self.simulation.world
        ids = [reply for reply in self.simulation.people.submitted if reply == world.run_id]
        if len(ids) > 1:
            raise Broken(f"{len(ids)} were told that {world.run_id} is theirs")
        if world.is_nothing():
            return
        state, round = self._written_down()
        self._made_from_what_counts()
        self._tracked_once(state, round)
        for key in world.plain.keys("orc:{*"):
            if world.plain.ttl(key) < 0:
                raise Broken(f"{key!s} has no end")

    def _written_down(self) -> tuple[RunState, int]:
        """How the run has ended, as the store tells it, and in which round."""
        world = self.simulation.world
        final = read_final(world.shared, world.run_id)
        known, number = world.plain.hmget(world.keys.meta, "state", "round")
        state, round = None if known is None else RunState(str(known)), int(str(number or 0))
        if state is not None:
            self.look()
            if not state.over:
                raise Broken(f"the run is {state}")
        if final is None:
            if state is not None and world.is_unreadable:
                return state, round
            raise Broken(f"the run is {state}, and the store has no record of it")
        record = final[0]
        told, known = f"{record.state} in round {record.round}", f"{state} in round {round}"
        if state is not None and told != known and not world.is_unreadable:
            raise Broken(f"the run is {known}, and the store says {told}")
        return (record.state, record.round) if state is None else (state, round)

    def _made_from_what_counts(self) -> None:
        """All that was committed was made from what was committed."""
        committed = set(_numbers([output.get("value") for output in self.outputs.values()]))
        for call, given in self.simulation.given.items():
            strange = set(_numbers(given)) - committed
            if call in committed and strange:
                raise Broken(f"call {call} counts, and was given {sorted(strange)}, which do not")

    def _tracked_once(self, state: RunState, round: int) -> None:
        """MLflow has at most one run of the run and of each node, and none that goes on."""
        server = self.simulation.world.mlflow
        nodes: dict[str, str] = {}
        for run in server.runs.values():
            if run.info.lifecycle_stage != "active":
                continue
            node = run.data.tags.get("orchestrator.node", "")
            if node in nodes:
                raise Broken(f"MLflow has several runs of {node or 'the run'}")
            nodes[node] = run.info.status
            self._kept_rightly(node, order_of(run.data.tags))
            if run.info.status == "RUNNING":
                raise Broken(f"MLflow has {node or 'the run'} as RUNNING")
        if "" not in nodes:
            raise Broken(f"the run is {state} in round {round}, and MLflow does not know it")
        if nodes[""] != status_of(state):
            raise Broken(f"the run is {state} in round {round}, and MLflow has it as {nodes['']}")
        for node in self.succeeded & nodes.keys():
            # the run of a map is told by its record how it ended, which Redis may have forgotten
            if nodes[node] != "FINISHED" and not (self.forgot and self._is_map(node)):
                raise Broken(f"{node} has succeeded, and MLflow has it as {nodes[node]}")
        self._models_that_count()

    def _is_map(self, node: str) -> bool:
        graph, name = self.simulation.graph, node_of(node)
        return name in graph and len(indexes_of(node)) < graph[name].depth

    def _kept_rightly(self, node: str, order: AttemptOrder) -> None:
        """Of several MLflow runs of a node, that of the attempt that counts stays, or that of a later one."""
        if node not in self.succeeded or not any(fit.name == node for fit in self._fits()):
            return
        world = self.simulation.world
        manifest = Manifest.read(world.shared, world.run_id, world.round().stored_as(NodeName(node)))
        if manifest is not None and order < (manifest.round, manifest.attempt):
            told = (manifest.round, manifest.attempt)
            raise Broken(f"what counts of {node} is of attempt {told}, and MLflow keeps the run of {order}")

    def _fits(self) -> Iterator[Node]:
        """The nodes that log to MLflow in each attempt."""
        return (node for node in self.simulation.graph if node.stage.endswith(".fit"))

    def _models_that_count(self) -> None:
        simulation = self.simulation
        latest = simulation.world.round()
        for node in self._fits():
            logged = [
                model.call
                for model in simulation.world.mlflow.models.values()
                if model.tags["orchestrator.node"] == node.name
            ]
            if len(logged) > 1:
                raise Broken(f"MLflow has several models of {node.name}: {logged}")
            output = self.outputs.get(latest.stored_as(node.name))
            if node.name not in self.succeeded or output is None:
                continue
            if logged != [output["value"]]:
                raise Broken(f"{node.name} gave {output['value']}, and MLflow has the models {logged}")


def _numbers(given: Any) -> Iterator[int]:
    """The calls that values come from: a list's number theirs a hundred times."""
    if isinstance(given, list | tuple):
        for each in given:
            yield from _numbers(each)
    elif isinstance(given, int) and given >= FIRST_CALL:
        yield given // 100 if given >= 100 * FIRST_CALL else given
