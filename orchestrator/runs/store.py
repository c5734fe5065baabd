"""What may happen to a node or a run, as typed calls: the only place where a run's state changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING

from orchestrator.authoring.graph import JSON, NodeName, item_name
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.keys import CONCLUSION_ERROR, RunKeys
from orchestrator.runs.listing import add_to_lists, remove_from_open
from orchestrator.runs.scripts import LuaScripts
from orchestrator.runs.states import NodeState, RunState
from orchestrator.runs.values import (
    AttemptCounts,
    Claim,
    ClaimStatus,
    DoneItem,
    Holder,
    Reopening,
    RunEnding,
    RunStatus,
    Settled,
    Taken,
    WokenMessage,
)

if TYPE_CHECKING:
    from redis import Redis


class RunStore:
    """The state of runs in Redis; times are Redis's own."""

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
    ) -> bool:
        """Make a run known, before its first message is sent; False if the id is taken.

        `needs` says of each node how many others it needs; `maps` gives the number of items where the canvas
        writes them out.
        With `fail_fast` the first failure ends the whole run; the `handlers` are nodes that run after it.
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
    ) -> Claim:
        """Ask to run a node; only on CLAIMED may its function be called."""
        status, number, *rest = self._apply(
            "claim",
            RunKeys(run),
            node,
            holder.token,
            holder.delivery,
            holder.worker,
            self._lease_ms,
            holder.round,
            *needed_by,
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
    ) -> Settled:
        """The node's manifest exists: it has succeeded; `why` says to people why it was reused or not.

        `needed_by` are the nodes that need it or, of an item, its map `group`.
        """
        return self._settle("commit", run, node, token, value, int(reused), why, group or "", *needed_by)

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
        """The node's last attempt failed; its descendants will not run, unless so many items may fail."""
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
        """The attempt failed; another one is due in `wait` seconds."""
        return self._settle("retry", run, node, token, error, traceback, round(wait * 1000))

    def skip(
        self, run: RunId, node: NodeName, token: str, *, descendants: Sequence[NodeName] = ()
    ) -> Settled:
        """The node's condition came out false; its descendants are skipped too."""
        return self._settle("skip", run, node, token, *descendants)

    def expand(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        *,
        items: int,
        join: NodeName | None = None,
        needed_by: Sequence[NodeName] = (),
    ) -> Settled:
        """A map's length is known: it becomes its items. `join` is the body of the chord that it is in."""
        return self._settle("expand", run, node, token, items, join or "", *needed_by)

    def items(self, run: RunId, node: NodeName) -> int:
        """How many items a map became."""
        record = json.loads(str(self.client.hget(RunKeys(run).nodes, node)))
        return int(record["items"])

    def succeeded_items(self, run: RunId, node: NodeName) -> tuple[int, ...] | None:
        """The items of a map that succeeded; None if the map itself has not, or is unknown."""
        nodes = RunKeys(run).nodes
        record = json.loads(str(self.client.hget(nodes, node) or "{}"))
        if record.get("state") != NodeState.SUCCEEDED:
            return None
        names = [item_name(node, index) for index in range(int(record["items"]))]
        found = self.client.hmget(nodes, names) if names else []
        states = (json.loads(str(text or "{}")).get("state") for text in found)
        return tuple(index for index, state in enumerate(states) if state == NodeState.SUCCEEDED)

    def resend(self, run: RunId, node: NodeName, *, due: float) -> bool:
        """Say that a node's message is sent again; False if it has not been due for so many seconds."""
        status, _ = self._apply("resend", RunKeys(run), node, round(due * 1000))
        return status == "due"

    def detach(self, run: RunId, join: NodeName) -> None:
        """A branch of a join leaves the canvas: no chord will send the join, so its last need does."""
        self._apply("detach", RunKeys(run), join)

    def take(
        self,
        run: RunId,
        node: NodeName,
        holder: Holder,
        *,
        wanted: int,
        needed_by: Sequence[NodeName] = (),
    ) -> Taken:
        """Ask for up to `wanted` items of a map."""
        status, *rest = self._apply(
            "take",
            RunKeys(run),
            node,
            holder.token,
            holder.delivery,
            holder.worker,
            self._lease_ms,
            holder.round,
            wanted,
            *needed_by,
        )
        if status == "done":
            return Taken({}, _ready(rest))
        rows = (rest[at : at + 6] for at in range(0, len(rest), 6))
        return Taken({int(index): _attempt_counts(counts) for index, *counts in rows})

    def return_items(self, run: RunId, node: NodeName, token: str, items: Iterable[int]) -> int:
        """Leave items that were taken and not begun to others; returns how many those are."""
        _, count = self._apply("return_items", RunKeys(run), node, token, *items)
        return int(count)

    def commit_items(
        self,
        run: RunId,
        node: NodeName,
        token: str,
        done: Iterable[DoneItem],
        *,
        needed_by: Sequence[NodeName] = (),
    ) -> Settled:
        """Outputs of several items are written: they have succeeded."""
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
        """Whether the attempt is still the one that may commit."""
        record = json.loads(str(self.client.hget(RunKeys(run).nodes, node) or "{}"))
        return bool(record.get("token") == token)

    def attempt_counts(self, run: RunId, node: NodeName) -> AttemptCounts:
        """How often a node was tried, as its claim was told."""
        record = json.loads(str(self.client.hget(RunKeys(run).nodes, node)))
        attempts, base = record.get("attempts", ()), int(record.get("base", 0))
        gone = [attempt for attempt in attempts[base:] if attempt.get("lost")]
        lost = [attempt for attempt in gone if not attempt.get("spared")]
        return AttemptCounts(len(attempts), len(attempts) - base - len(gone), len(lost))

    def mark_lost(
        self, run: RunId, delivery: str, *, error: str, spared: bool = False, until: float | None = None
    ) -> int:
        """The process that worked on a delivery is lost: its attempts are over, its nodes up for the next.

        `spared` says that the nodes cannot be to blame: their worker was told to stop. Who is not that worker
        says `until` when this counts, in seconds by Redis's clock; a lease that is not over stays, then, and
        the worker ends the process if it is there after all.
        """
        limit = "" if until is None else round(until * 1000)
        _, count = self._apply("mark_lost", RunKeys(run), delivery, error, int(spared), limit)
        return int(count)

    def drop_lease(self, run: RunId, delivery: str) -> None:
        """A delivery is no longer worked on, and holds nothing."""
        self.client.zrem(RunKeys(run).leases, delivery)

    def renew(self, run: RunId, delivery: str) -> bool:
        """Say that a delivery is still being worked on; False if it is to end: it has been taken over."""
        status, _ = self._apply("renew", RunKeys(run), delivery, self._lease_ms)
        return status == "renewed"

    def cancel(self, run: RunId, *, token: str = "") -> tuple[str, ...] | None:
        """Stop a run: nothing of it starts or commits any more.

        Returns the deliveries that were at work, however often it is asked; None if the run ended otherwise.
        Raises UnknownRun.
        """
        status, *deliveries = self._apply("cancel", RunKeys(run), "", token or token_hex(8))
        if status == "unknown":
            raise UnknownRun(
                f"Redis knows no run '{run}' that could be going on", hint=f"see: orchestrator show {run}"
            )
        return tuple(deliveries) if status == "cancelled" else None

    def fail_run(self, run: RunId, *, error: str) -> bool:
        """Fail a run of which nobody can read any more what it consists of; False if it was over."""
        status, *_ = self._apply("cancel", RunKeys(run), error, token_hex(8))
        return status == "cancelled"

    def status(self, run: RunId) -> RunStatus | None:
        """How a run stands: what a reopening is worked out for. None if it is unknown."""
        found = self.client.hmget(RunKeys(run).meta, "state", "ended", "round")
        state, ended, number = (str(each or "") for each in found)
        return RunStatus(state, ended, int(number or 0)) if state else None

    def reopen(self, run: RunId, reopening: Reopening) -> RunEnding | None:
        """Let a run go on in a new round; where nothing is left to do, it ends at once.

        None if the run does not stand any more as it stood when the round was worked out.
        """
        stood = reopening.stood
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
            f"{stood.ended}/{stood.round}" if stood else "",
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
        """Keep the id of something made outside, unless one is kept already; returns the one that is kept."""
        (kept,) = self._apply("remember", RunKeys(run), key, value, 0)
        return kept

    def recall(self, run: RunId, key: str) -> str | None:
        """The id that `remember` kept."""
        found = self.client.hget(RunKeys(run).memory, key)
        return None if found is None else str(found)

    def set_conclusion_error(self, run: RunId, why: str) -> None:
        """Everything about an ended run is still to be written down; whoever waits for it may know why."""
        self._apply("remember", RunKeys(run), CONCLUSION_ERROR, why, 1)

    def conclude(self, run: RunId, ended: str, *, mlflow_run_id: str | None, retention: int) -> bool:
        """The end that `status` told of is written down; Redis forgets it `retention` seconds later.

        False if the run has been carried on since, or Redis does not know it any more.
        """
        (done,) = self._apply("conclude", RunKeys(run), ended, mlflow_run_id or "", retention)
        if done == "1":
            remove_from_open(self.client, run)
        return done == "1"

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
    """What a run's state, as a transition replies it, asks for."""
    if state == RunEnding.HANDLERS:
        return RunEnding.HANDLERS
    return RunEnding.OVER if state and RunState(state).over else RunEnding.NONE


def _ready(flat: Sequence[str]) -> tuple[WokenMessage, ...]:
    return tuple(WokenMessage(NodeName(flat[at]), flat[at + 1] == "1") for at in range(0, len(flat), 2))
