"""Turns a plan into Celery signatures: chains and chords of messages that hold a run id and a node's name.

A signature stays small however long the graph is: a chain ends after `SPAN` nodes, and behind joins and maps.
What follows then is sent by the worker that commits the last node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid5

from celery import Celery, chain, group
from celery.canvas import Signature, _chord

from orchestrator.authoring.graph import Node, NodeName, group_and_index, item_name, node_of
from orchestrator.compiler.plan import Plan, Sequence
from orchestrator.messaging.priorities import headers_of
from orchestrator.run_id import RunId

#: How many nodes one message may carry. A worker continues in place, so most of what it carries goes unused.
SPAN = 4
#: Seconds that a stage has to clean up after its time limit, before its process is killed.
GRACE = 10.0

#: Of the ids of messages, and of those of chords.
_NAMESPACE = UUID("5f0c7d0e-6a53-5c1c-9a55-0d3a4b1c2e11")
_CHORDS = UUID("0b9f2a51-8c3e-5d0f-a1b6-4c7d2e9f3a60")


@dataclass(frozen=True)
class Canvas:
    """Signatures for one run of a planned graph.

    Ids are made from names, so that a message that is sent twice has the same id twice, and a chord counts
    it once.
    """

    app: Celery
    plan: Plan
    run: RunId
    round: int = 0  #: 0 for the submission, counted up by each resume
    again: bool = False  #: its messages may have been sent before, and their nodes may be done

    def start(self) -> Signature:
        """What the submission sends."""
        return _together([self.sequence(root) for root in self.plan.roots])

    def handlers(self) -> Signature:
        """What runs once the run has failed."""
        return _together([self._task(node) for node in self.plan.graph.handlers])

    def onward(self, name: NodeName) -> Signature:
        """What follows a node in its sequence; it takes over the node's place in a chord, if it has one."""
        sequence, position = self.plan.places[name]
        return self.sequence(sequence, position + 1)

    def sequence(self, sequence: Sequence, start: int = 0, *, joined: bool = False) -> Signature:
        """A sequence from a position on, or from a join itself where its branches have `joined` already."""
        parts: list[Signature] = []
        for link in sequence.links[start:]:
            node = self.plan.node(link.node)
            if link.heads and (parts or not joined):
                if parts and len(link.heads) > SPAN:
                    break
                header = [self.sequence(head) for head in link.heads]
                parts.append(self._chord(header, self._task(node)))
                break
            if node.mapped:
                parts.append(self._map(node))
                break
            parts.append(self._task(node))
            if len(parts) == SPAN:
                break
        return parts[0] if len(parts) == 1 else chain(*parts, app=self.app)

    def by_itself(self, name: str) -> Signature:
        """A node that has all it needs, without the branches that it joins, and what follows; or an item."""
        group, index = group_and_index(NodeName(name))
        if index is not None:
            return self.item(group, index)
        if group not in self.plan.places:
            return self._task(self.plan.node(group))  # it runs after a failure
        return self.sequence(*self.plan.places[group], joined=True)

    def item(self, map: NodeName, index: int) -> Signature:
        """One item of a map, by itself."""
        return self._task(self.plan.node(node_of(map)), item_name(map, index))

    def batch(self, map: NodeName, number: int) -> Signature:
        """A message whose worker takes items of a map, and calls another by the number that follows."""
        return self._task(self.plan.node(node_of(map)), map, id_of=f"{map} batch {number}", batch=number)

    def _map(self, node: Node) -> Signature:
        """A map: written out where its length is small and known, else one task that expands on a worker."""
        if not self.plan.written_out(node):
            return self._task(node)
        items = [self._task(node, item_name(node.name, index)) for index in range(node.known_length or 0)]
        body = self.plan.chorded(node)
        if body is None:
            return _together(items)
        return self._chord(items, self._task(self.plan.node(body)))

    def _chord(self, header: list[Signature], body: Signature) -> Signature:
        return SteadyChord(header, body, app=self.app, task_id=body.options["task_id"])

    def _task(
        self, node: Node, name: str | None = None, *, id_of: str | None = None, batch: int | None = None
    ) -> Signature:
        """The message of one node, of one item of a map, or of a batch of items."""
        name = name or node.name
        policy = node.policy
        options: dict[str, object] = {
            "queue": policy.queue,
            "task_id": self.task_id(id_of or name),
            "ignore_result": True,  # else whoever sends it subscribes to a result that nobody writes
        }
        if headers := headers_of(policy.priority, batch=batch is not None):
            options["headers"] = headers
        if policy.time_limit is not None:
            options["soft_time_limit"] = policy.time_limit
            options["time_limit"] = policy.time_limit + GRACE
        kwargs: dict[str, object] = {"run": self.run, "node": name}
        if self.round:
            kwargs["round"] = self.round
        if self.again:
            kwargs["again"] = True
        if batch is not None:
            kwargs["batch"] = batch
        return Signature(node.stage, kwargs=kwargs, options=options, app=self.app, immutable=True)

    def task_id(self, name: str) -> str:
        """The id of the message of a node or an item."""
        return str(uuid5(_NAMESPACE, f"{self.run} {self.round} {name}"))


@Signature.register_type(name="steady_chord")
class SteadyChord(_chord):
    """Celery's chord, counted under an id that is made from its body's.

    Celery's own unpacks the group that it is given, and drops the group's id; inside another chord it is
    counted under a new id each time it is sent (celery 5.7, `_chord.freeze`). If a chord were sent twice, its
    parts would be spread over two counters, and neither would be complete.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.subtask_type = "steady_chord"
        self._steady()

    def freeze(self, *args: object, **options: object) -> object:
        """Give ids to all parts."""
        self._steady()
        return super().freeze(*args, **options)

    def _steady(self) -> None:
        header = self.kwargs["header"]
        if not isinstance(header, group):
            header = self.kwargs["header"] = group(header, app=self.app)
        header.options["task_id"] = str(uuid5(_CHORDS, self.body.options["task_id"]))


def _together(signatures: Iterable[Signature]) -> Signature:
    several = list(signatures)
    return several[0] if len(several) == 1 else group(several, app=several[0].app)
