"""The run store: typed calls of all state transitions of runs and nodes; only they change a run's state."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING

from orchestrator.authoring.graph import JSON, NodeName, item_name
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.keys import CONCLUSION_ERROR, RunKeys
from orchestrator.runs.listing import add_to_lists, remove_from_all, remove_from_unfinished
from orchestrator.runs.scripts import LuaScripts
from orchestrator.runs.states import NodeState, RunState
from orchestrator.runs.values import (
    NONE,
    AttemptCounts,
    AttemptProgress,
    Claim,
    ClaimedNext,
    ClaimStatus,
    Continuation,
    DoneItem,
    DueNode,
    Follows,
    Holder,
    Renewal,
    Reopening,
    RunEnding,
    RunStatus,
    Settled,
    Taken,
)

if TYPE_CHECKING:
    from redis import Redis


class RunStore:
    """The state of runs in Redis; all times are by Redis's clock."""

    def __init__(self, client: Redis, *, lease_seconds: float = 10.0) -> None:
        self.client = client
        self._lease_ms = int(lease_seconds * 1000)
        self._apply = LuaScripts(client)

    def submit(
        self,
        run: RunId,
        *,
        pipeline: str,
        parameters: Mapping[str, JSON],
        needs: Mapping[NodeName, int],
        maps: Mapping[NodeName, int],
        submitted: float,
        handlers: Sequence[NodeName] = (),
        fail_fast: bool = False,
        item_followers: Mapping[NodeName, Mapping[NodeName, int]] | None = None,
    ) -> bool:
        """Register a run before its first message is sent; False if the id exists already.

        `needs` maps each node to its number of inputs from other nodes; `maps` gives the number of items of
        maps whose items are separate tasks in the canvas. With `fail_fast` the first failure ends the whole
        run; `handlers` are the nodes that run after it. `item_followers` are, for each map, those that follow
        it item by item, and how many indexes they share.
        """
        (made,) = self._apply(
            "submit",
            RunKeys(run),
            run,
            len(needs),
            pipeline,
            json.dumps(parameters),
            int(fail_fast),
            json.dumps(handlers),
            len(maps),
            token_hex(8),
            _pairs(item_followers or {}),
            *(part for pair in maps.items() for part in pair),
            *(part for pair in needs.items() for part in pair),
        )
        if made == "1":
            add_to_lists(self.client, run, submitted)
        return made == "1"

    def claim(
        self,
        run: RunId,
        node: NodeName,
        holder: Holder,
        *,
        needed_by: Sequence[NodeName] = (),
        behind: Collection[NodeName] = (),
    ) -> Claim:
        """Claim a node atomically; its function may be called only if the status is CLAIMED.

        `needed_by` are the node's successors. `behind` are nodes with which an earlier delivery of the same
        message may have continued; of these, the reply for a node that is DONE names those that were lost.
        """
        status, number, *rest = self._apply(
            "claim",
            RunKeys(run),
            node,
            *self._asker(holder),
            len(needed_by),
            *needed_by,
            *behind,
        )
        if status == ClaimStatus.CLAIMED:
            return Claim(ClaimStatus.CLAIMED, _attempt_counts([number, *rest]))
        return Claim(ClaimStatus(status), AttemptCounts(int(number)), _ready(rest))

    def commit(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        *,
        value: str = "",
        reused: bool = False,
        why: str = "",
        group: NodeName | None = None,
        needed_by: Sequence[NodeName] = (),
        then: Continuation | None = None,
    ) -> Settled:
        """Record a node whose manifest exists as succeeded; `why` tells users why it was reused or not.

        `needed_by` are the successors of the node or, for an item, those of its map `group`. `then` claims
        the next node in the same step.
        """
        status, state, *rest = self._apply(
            "commit",
            RunKeys(run),
            node,
            token,
            value,
            int(reused),
            why,
            group or "",
            *self._continuation(then),
            *needed_by,
        )
        settled = _settled(status, state, rest[6:])
        if not settled.accepted or not rest[0]:
            return settled
        return replace(settled, claimed=ClaimedNext(NodeName(rest[0]), _attempt_counts(rest[1:6])))

    def fail(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        *,
        error: str,
        traceback: str,
        group: NodeName | None = None,
        tolerated: float = 0.0,
        needed_by: Sequence[NodeName] = (),
        descendants: Sequence[NodeName] = (),
    ) -> Settled:
        """Fail a node and its descendants; a share `tolerated` of a map's items may fail without that."""
        status, state, count, *rest = self._apply(
            "fail",
            RunKeys(run),
            node,
            token,
            error,
            traceback,
            group or "",
            tolerated,
            len(needed_by),
            *needed_by,
            *descendants,
        )
        stopped = int(count)
        return _settled(status, state, rest[stopped:], stopped=tuple(rest[:stopped]))

    def retry(
        self, run: RunId, node: NodeName, token: str, *, error: str, traceback: str, wait: float
    ) -> Settled:
        """Record a failed attempt; the next one is due in `wait` seconds."""
        return self._settle("retry", run, node, token, error, traceback, round(wait * 1000))

    def skip(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        *,
        group: NodeName | None = None,
        needed_by: Sequence[NodeName] = (),
        descendants: Sequence[NodeName] = (),
    ) -> Settled:
        """Skip a node whose condition is false, with its descendants; its map `group` leaves an item out."""
        behind = () if group else descendants
        return self._settle("skip", run, node, token, group or "", len(needed_by), *needed_by, *behind)

    def expand(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        *,
        items: int,
        join: NodeName | None = None,
        follows: Follows = NONE,
        needed_by: Sequence[NodeName] = (),
    ) -> Settled:
        """Expand a map of known length into its items.

        `join` is the body of the chord that the map is in; `follows` are the maps that it follows item by
        item.
        """
        waits_for = json.dumps([follows.done, follows.expanded])
        return self._settle("expand", run, node, token, items, join or "", waits_for, *needed_by)

    def items(self, run: RunId, node: NodeName) -> int:
        """Return the number of items of an expanded map."""
        record = json.loads(str(self.client.hget(RunKeys(run).nodes, node)))
        return int(record["items"])

    def succeeded_items(self, run: RunId, node: NodeName) -> tuple[int, ...] | None:
        """Return the succeeded items of a map; None if the map has not succeeded or is unknown."""
        nodes = RunKeys(run).nodes
        record = json.loads(str(self.client.hget(nodes, node) or "{}"))
        if record.get("state") != NodeState.SUCCEEDED:
            return None
        names = [item_name(node, index) for index in range(int(record["items"]))]
        found = self.client.hmget(nodes, names) if names else []
        states = (json.loads(str(text or "{}")).get("state") for text in found)
        return tuple(index for index, state in enumerate(states) if state == NodeState.SUCCEEDED)

    def resend(self, run: RunId, node: NodeName, *, due: float) -> bool:
        """Mark a node's message as sent again; False if the node has not been due for `due` seconds."""
        status, _ = self._apply("resend", RunKeys(run), node, round(due * 1000))
        return status == "due"

    def detach(self, run: RunId, join: NodeName) -> None:
        """Mark a join whose branch has left the canvas: its last input sends it, since no chord will."""
        self._apply("detach", RunKeys(run), join)

    def take(
        self,
        run: RunId,
        node: NodeName,
        holder: Holder,
        *,
        wanted: int,
        soon_done: int = 1,
        behind: Sequence[NodeName] = (),
    ) -> Taken:
        """Claim up to `wanted` items of a map: of the last ones only a part, but `soon_done` in any case.

        Of the nodes `behind` the map, which an earlier delivery may have died before it sent, the reply names
        those that are due.
        """
        _, count, *rest = self._apply(
            "take",
            RunKeys(run),
            node,
            *self._asker(holder),
            wanted,
            soon_done,
            *behind,
        )
        end = 6 * int(count)
        rows = (rest[at : at + 6] for at in range(0, end, 6))
        return Taken({int(index): _attempt_counts(counts) for index, *counts in rows}, _ready(rest[end:]))

    def call_batch(self, run: RunId, node: NodeName, number: int, token: str, *, redelivered: bool) -> int:
        """Return the number of the batch message that batch `number` of a map has to send; 0 for none.

        Batch 0 begins anew, after messages were lost or items were returned.
        """
        (call,) = self._apply("call_batch", RunKeys(run), node, number, token, int(redelivered))
        return int(call)

    def return_items(self, run: RunId, node: NodeName, token: str, items: Iterable[int]) -> int:
        """Return items that were taken and not begun to the map.

        Returns the number of the batch message that is to call another worker to them; 0 for none.
        """
        _, _, call = self._apply("return_items", RunKeys(run), node, token, *items)
        return int(call)

    def commit_items(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        done: Iterable[DoneItem],
        *,
        needed_by: Sequence[NodeName] = (),
    ) -> Settled:
        """Record several map items whose outputs are written as succeeded."""
        flat = [
            part
            for item in done
            for part in (
                item.index,
                round(item.began * 1e6),
                round(item.ended * 1e6),
                item.value,
                int(item.reused),
                item.why,
            )
        ]
        return self._settle("commit_items", run, node, token, len(needed_by), *needed_by, *flat)

    def holds(self, run: RunId, node: NodeName, token: str) -> bool:
        """Whether the attempt still holds its node and may commit."""
        record = json.loads(str(self.client.hget(RunKeys(run).nodes, node) or "{}"))
        return bool(record.get("token") == token)

    def attempt_counts(self, run: RunId, node: NodeName) -> AttemptCounts:
        """Return a node's attempt counts, as its claim returned them."""
        record = json.loads(str(self.client.hget(RunKeys(run).nodes, node)))
        attempts, base = record.get("attempts", ()), int(record.get("base", 0))
        gone = [attempt for attempt in attempts[base:] if attempt.get("lost")]
        lost = [attempt for attempt in gone if not attempt.get("spared")]
        return AttemptCounts(len(attempts), len(attempts) - base - len(gone), len(lost))

    def mark_lost(
        self, run: RunId, delivery: str, *, error: str, spared: bool = False, until: float | None = None
    ) -> int:
        """End the attempts of a delivery whose process is lost, so that their nodes can be claimed again.

        With `spared` the loss is not counted against the nodes, since their worker was stopped. Callers other
        than that worker pass `until`, the time until which the call is valid, in seconds by Redis's clock: a
        lease that has not expired is then kept, and if the worker is alive after all, it kills the process.
        """
        limit = "" if until is None else round(until * 1000)
        _, count = self._apply("mark_lost", RunKeys(run), delivery, error, int(spared), limit)
        return int(count)

    def drop_lease(self, run: RunId, delivery: str) -> None:
        """Remove the lease of a delivery that holds no node any more."""
        self.client.zrem(RunKeys(run).leases, delivery)

    def renew(self, run: RunId, delivery: str) -> bool:
        """Renew the lease of a delivery; False if a node was taken from it, so that it must be killed."""
        return self.renew_and_look(run, delivery, "").renewed

    def renew_and_look(self, run: RunId, delivery: str, node: NodeName | str) -> Renewal:
        """Renew the lease of a delivery, and read how far the node has come that it is at."""
        status, progress = self._apply("renew", RunKeys(run), delivery, self._lease_ms, node)
        attempt = AttemptProgress.from_text(progress) if progress else None
        return Renewal(status == "renewed", None if attempt is None else attempt.progress)

    def set_progress(self, run: RunId, node: NodeName, token: str, told: AttemptProgress | None) -> None:
        """Record how far an attempt has come, or that it has nothing to tell; not if it has lost its node."""
        self._apply("progress", RunKeys(run), node, token, "" if told is None else told.to_text())

    def cancel(self, run: RunId, *, token: str = "") -> tuple[str, ...] | None:
        """Cancel a run: no node of it starts or commits any more.

        Return the deliveries that were running, also on repeated calls; None if the run ended otherwise.
        Raises UnknownRun.
        """
        status, *deliveries = self._apply("cancel", RunKeys(run), "", token or token_hex(8))
        if status == "unknown":
            raise UnknownRun(
                f"Redis knows no run '{run}' that could be going on", hint=f"see: orchestrator show {run}"
            )
        return tuple(deliveries) if status == "cancelled" else None

    def fail_run(self, run: RunId, *, error: str) -> bool:
        """Fail a run whose specification cannot be read any more; False if it was over."""
        status, *_ = self._apply("cancel", RunKeys(run), error, token_hex(8))
        return status == "cancelled"

    def status(self, run: RunId) -> RunStatus | None:
        """Return a run's status, on which a reopening is based; None if the run is unknown."""
        found = self.client.hmget(RunKeys(run).meta, "state", "ended", "round")
        state, ended, number = (str(each or "") for each in found)
        return RunStatus(state, ended, int(number or 0)) if state else None

    def reopen(self, run: RunId, reopening: Reopening) -> RunEnding | None:
        """Reopen a run in a new round; if nothing is left to do, it ends at once.

        None if the run's status has changed since the reopening was computed.
        """
        expected = reopening.expected
        done = [part for pair in reopening.done.items() for part in pair]
        again = [part for pair in reopening.again.items() for part in pair]
        maps = [part for name, (items, left) in reopening.maps.items() for part in (name, items, left)]
        needs = [part for pair in reopening.needs.items() for part in pair]
        status, state = self._apply(
            "reopen",
            RunKeys(run),
            run,
            reopening.pipeline,
            json.dumps(reopening.parameters),
            reopening.open,
            int(reopening.fail_fast),
            json.dumps(reopening.handlers),
            reopening.number,
            len(reopening.done),
            len(reopening.again),
            len(reopening.kept),
            len(reopening.maps),
            f"{expected.ended}/{expected.round}" if expected else "",
            _pairs(reopening.item_followers),
            *done,
            *again,
            *reopening.kept,
            *maps,
            *needs,
        )
        if status == "taken":
            return None
        add_to_lists(self.client, run, reopening.submitted)
        return _ending_of(state)

    def remember(self, run: RunId, key: str, value: str) -> str:
        """Store the id of an external object unless the key has one already; return the stored id."""
        (kept,) = self._apply("remember", RunKeys(run), key, value, 0)
        return kept

    def recall(self, run: RunId, key: str) -> str | None:
        """Return the id that `remember` stored; None if there is none."""
        found = self.client.hget(RunKeys(run).memory, key)
        return None if found is None else str(found)

    def set_conclusion_error(self, run: RunId, why: str) -> None:
        """Store why a finished run could not be concluded yet, for clients that wait for it."""
        self._apply("remember", RunKeys(run), CONCLUSION_ERROR, why, 1)

    def conclude(self, run: RunId, ended: str, *, mlflow_run_id: str | None, retention: int) -> bool:
        """Mark the run's end `ended`, from `status`, as concluded; its keys expire after `retention` seconds.

        False if the run has been resumed since, or Redis does not know it any more.
        """
        (done,) = self._apply("conclude", RunKeys(run), ended, mlflow_run_id or "", retention)
        if done == "1":
            remove_from_unfinished(self.client, run)
        return done == "1"

    def forget(self, run: RunId) -> bool:
        """Remove a concluded run; False if it goes on, or is not concluded, and so stays."""
        (gone,) = self._apply("forget", RunKeys(run))
        if gone == "1":
            remove_from_all(self.client, run)
        return gone == "1"

    def _asker(self, holder: Holder) -> tuple[str | int, ...]:
        """The arguments of a script that say who asks for a node, and for how long."""
        return (holder.token, holder.delivery, holder.worker, self._lease_ms, holder.round)

    def _continuation(self, then: Continuation | None) -> tuple[str | int, ...]:
        """The arguments of `commit.lua` that say what to claim next."""
        if then is None:
            return ("", 0, 0)
        place = (then.join or "", int(then.left))
        if not then.nodes:
            return (*place, 0)
        holder = then.holder
        lease = (holder.token, holder.delivery, holder.worker, self._lease_ms)
        return (*place, len(then.nodes), *lease, *then.nodes)

    def _settle(self, name: str, run: RunId, *arguments: str | int | float) -> Settled:
        status, state, *rest = self._apply(name, RunKeys(run), *arguments)
        return _settled(status, state, rest)


def _settled(status: str, state: str, ready: Sequence[str], *, stopped: tuple[str, ...] = ()) -> Settled:
    if status == "lost":
        return Settled(accepted=False)
    return Settled(True, _ending_of(state), _ready(ready), stopped)


def _attempt_counts(told: Sequence[str]) -> AttemptCounts:
    number, tries, lost, claimed, forgetful = map(int, told)
    return AttemptCounts(number, tries, lost, claimed, bool(forgetful))


def _ending_of(state: str) -> RunEnding:
    """Convert the run state in a transition's reply to a RunEnding."""
    if state == RunEnding.HANDLERS:
        return RunEnding.HANDLERS
    return RunEnding.OVER if state and RunState(state).over else RunEnding.NONE


def _ready(flat: Sequence[str]) -> tuple[DueNode, ...]:
    pairs = ((NodeName(flat[at]), flat[at + 1]) for at in range(0, len(flat), 2))
    return tuple(
        DueNode(name, batch=int(how[1:])) if how.startswith("b") else DueNode(name, how == "1")
        for name, how in pairs
    )


def _pairs(item_followers: Mapping[NodeName, Mapping[NodeName, int]]) -> str:
    return json.dumps({map: [*followers.items()] for map, followers in item_followers.items()})
