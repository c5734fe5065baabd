"""One run, as a program or a notebook handles it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.authoring.graph import JSON
from orchestrator.client.errors import RunFailed
from orchestrator.client.log_lines import LogLine, kept_lines, live_lines
from orchestrator.client.outputs import Outputs
from orchestrator.client.run_lookup import KnownRun
from orchestrator.run_id import RunId
from orchestrator.runs.record import AttemptRecord, NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState

if TYPE_CHECKING:
    from orchestrator.client.client import Client


class Run:
    """A run that was submitted, here or elsewhere; each property reads it anew.

    In a notebook it shows itself: its graph, the states of its nodes, and what came out.
    """

    def __init__(self, client: Client, id: RunId) -> None:
        self._client = client
        self.id = id

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        from orchestrator.client.page import run_as_html

        return run_as_html(self.known)

    @property
    def known(self) -> KnownRun:
        """The run's record and graph as they are now; raises UnknownRun."""
        return self._client.records.get(self.id)

    @property
    def record(self) -> RunRecord:
        """Its times, nodes and attempts."""
        return self.known.record

    @property
    def state(self) -> str:
        """`pending`, `running`, `succeeded`, `failed`, `cancelled`; `unfinished` if its stack is gone."""
        return self.known.state

    @property
    def parameters(self) -> Mapping[str, JSON]:
        """The parameters that it was submitted with."""
        return self.record.parameters

    @property
    def submitted(self) -> datetime | None:
        """When it was submitted."""
        return self.record.submitted

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes, and the items of its maps, in the order written."""
        return tuple(Node(self, each.name) for each in self.record.nodes)

    def node(self, name: str) -> Node:
        """A node, an item `fit[3]`, or a map by its name; raises UnknownNode."""
        self.known.nodes(name)
        return Node(self, name)

    def wait(self, timeout: float | None = None, *, check: bool = False, progress: bool | None = None) -> Run:
        """Wait until the run is over and written down, and return it.

        `timeout` is in seconds: StillRunning is raised after it. With `check`, a run that did not succeed
        raises RunFailed. `progress` is shown in a terminal and in a notebook unless it says otherwise.
        """
        from orchestrator.client.waiting import wait_for  # loads rich

        wait_for(self._client.records, self.id, timeout=timeout, progress=progress)
        if check:
            self._require_success()
        return self

    async def wait_async(self, timeout: float | None = None, *, check: bool = False) -> Run:
        """`wait` without progress, for a coroutine."""
        return await asyncio.to_thread(self.wait, timeout, check=check, progress=False)

    def result(self) -> object:
        """What the pipeline returned, each part as its stage's annotation says; raises NoOutput."""
        return self._outputs.result()

    def output(self, name: str) -> object:
        """What a node or an item returned, as its stage's annotation says; of a map, the list of all.

        `name` may go on with a field: `split.train`. Estimators of untrusted types are refused
        (UntrustedTypes), altered ones too (AlteredArtifact). Raises UnknownNode, NoOutput.
        """
        return self._outputs.output(name)

    def logs(self, node: str | None = None) -> Logs:
        """What its stages, or one of them, have printed and logged so far."""
        known = self.known
        known.nodes(node)
        return Logs(kept_lines(self._client.records, known, node))

    def follow_logs(self, node: str | None = None) -> Iterator[LogLine]:
        """The lines of its logs as they come, until the run is over."""
        known = self.known
        known.nodes(node)
        lines = live_lines if known.live and not known.record.state.over else kept_lines
        return lines(self._client.records, known, node)

    def cancel(self) -> int:
        """Stop the run: nothing of it starts any more, and running stages are terminated; returns how many.

        Raises RunIsOver for a run that has ended itself, NoStack where there is none to send it to.
        """
        from orchestrator.client.control import cancel

        return cancel(self._client.records, self.id)

    def resume(self) -> Run:
        """Carry the run on that failed, was cancelled or lost its Redis; what is committed is not run again.

        Raises NothingLeft, NoStack.
        """
        from orchestrator.client.control import resume

        resume(self._client.records, self.id)
        return self

    @property
    def _outputs(self) -> Outputs:
        return Outputs(self.known, self._client.records.store)

    def _require_success(self) -> None:
        record = self.record
        if record.state is not RunState.SUCCEEDED:
            failed = next((each for each in record.nodes if each.state is NodeState.FAILED), None)
            why = f"'{failed.name}': {(failed.error or '').strip()}" if failed else record.error or ""
            raise RunFailed(
                f"run {record.id} {record.state.value}{f': {why}' if why else ''}",
                hint=f"see: orchestrator show {record.id}",
            )


class Node:
    """A node of a run, an item of a map, or a map as a whole; each property reads it anew."""

    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name

    def __repr__(self) -> str:
        return f"<Node {self.name} of {self.run.id} {self.state}>"

    @property
    def records(self) -> tuple[NodeRecord, ...]:
        """Its record; of a map, those of its items."""
        return self.run.known.nodes(self.name)

    @property
    def state(self) -> str:
        """`waiting`, `running`, `succeeded`, `failed` and so on; of a map, that of its items together."""
        from orchestrator.client.groups import Group, group_name

        return Group(group_name(self.name), self.records).state.value

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """Its attempts, the first one first; of a map, those of all items."""
        return tuple(attempt for record in self.records for attempt in record.attempts)

    @property
    def error(self) -> str | None:
        """The error of the last attempt that failed; None if none did."""
        return next((record.error for record in self.records if record.error), None)

    def output(self) -> object:
        """What it returned: see `Run.output`."""
        return self.run.output(self.name)

    def logs(self) -> Logs:
        """What it has printed and logged so far."""
        return self.run.logs(self.name)


class Logs(tuple[LogLine, ...]):
    """Lines of a log; as text, each with its time and its node."""

    def __new__(cls, lines: Iterator[LogLine]) -> Logs:
        return super().__new__(cls, tuple(lines))

    def __str__(self) -> str:
        return "\n".join(
            f"{each.line.time.astimezone():%H:%M:%S}  {each.node}  {each.line.text}" for each in self
        )

    __repr__ = __str__
