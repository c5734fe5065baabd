"""Looks runs up: what is live in Redis first, then what the artifact store keeps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar

from redis.exceptions import RedisError

from orchestrator.archive.rounds import Round
from orchestrator.archive.run_index import RunSummary, read_index
from orchestrator.archive.run_record import read_final, stored_runs
from orchestrator.archive.specification import Specification
from orchestrator.archive.tombstone import check_not_pruned
from orchestrator.artifacts import MISSING, AlteredArtifact, ArtifactStore, inline
from orchestrator.authoring.graph import Graph, node_of
from orchestrator.authoring.masking import mask_values
from orchestrator.client.connection import join_stack, private_redis
from orchestrator.client.errors import AmbiguousRun, UnknownNode
from orchestrator.client.run_filter import RunFilter
from orchestrator.lifecycle.progress import progress_of
from orchestrator.messaging.set_aside import SetAside, messages_set_aside
from orchestrator.run_id import RunId, submission_time
from orchestrator.runs.connection import connect_redis
from orchestrator.runs.errors import RedisUnreachable, UnknownRun, UnreadableRun
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState
from orchestrator.settings import apply_environment, settings
from orchestrator.stack_state import StackState

log = logging.getLogger("orchestrator.client")

T = TypeVar("T")

#: How many runs of Redis are looked through for the beginning of an id.
RECENT = 10_000
#: Up to so many runs are read one by one: the index would take as long.
FEW = 20


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """A run, and how much of it is known."""

    record: RunRecord
    graph: Graph
    tracebacks: Mapping[str, str] = field(default_factory=dict)  #: of failed attempts, by `node#number`
    reader: RunReader | None = None  #: of the Redis that has it

    @property
    def live(self) -> bool:
        """A Redis has it."""
        return self.reader is not None

    @property
    def unfinished(self) -> bool:
        """It was never written down, and our Redis does not have it: its stack is another one, or gone."""
        return not self.live and not self.record.state.over

    @property
    def state(self) -> str:
        """The run's state, as it is shown."""
        return "unfinished" if self.unfinished else self.record.state.value

    def nodes(self, name: str | None) -> tuple[NodeRecord, ...]:
        """The records of one node, of all items of a map, or all; raises UnknownNode."""
        if name is None:
            return self.record.nodes
        found = tuple(node for node in self.record.nodes if name in (node.name, node_of(node.name)))
        if not found:
            names = [node.name for node in self.record.nodes]
            near = get_close_matches(name, names, 1)
            suggestion = (
                f" Did you mean '{near[0]}'?" if near else f" It has {', '.join(map(str, names[:20]))}."
            )
            raise UnknownNode(f"run {self.record.id} has no node '{name}'.{suggestion}")
        return found


@dataclass(frozen=True)
class ListedRun:
    """A run in a list."""

    summary: RunSummary
    state: str  #: as it is shown: `unfinished` for a run that was not written down and that no Redis has
    known: KnownRun | None = None  #: if more of it was read


@dataclass(frozen=True)
class Records:
    """The runs that can be looked up from here."""

    store: ArtifactStore
    readers: tuple[RunReader, ...]  #: of each Redis that can be asked
    private: Mapping[RunReader, StackState] = field(default_factory=dict)  #: those of private stacks

    @classmethod
    def open(cls) -> Records:
        """With each Redis that answers: of the settings, of the stack that is up, of private stacks.

        Nothing is made: a store that is not there has no runs.
        """
        join_stack()
        chosen = settings()
        readers = []
        if chosen.redis_url is not None:
            try:
                readers.append(RunReader(connect_redis(chosen.redis_url)))
            except RedisUnreachable as error:
                log.warning("%s; this is what the artifact store knows", error)
        private = {RunReader(client): state for state, client in private_redis()}
        return cls(ArtifactStore(chosen.store_url, create=False), (*readers, *private), private)

    def join(self, run: RunId) -> str | None:
        """Take part in the stack that has a run; returns the address of its Redis, None if there is none."""
        for reader, state in self.private.items():
            if reader.knows(run):
                apply_environment(state.environment)
        return settings().redis_url

    def ids(self, limit: int | None = None) -> list[RunId]:
        """The latest runs, or all, newest first."""
        live = [run for _, runs in self._answers(lambda reader: reader.ids(limit or 0)) for run in runs]
        known = dict.fromkeys([*live, *stored_runs(self.store)])
        # Runs of the same second stay in the order in which Redis has them.
        return sorted(known, key=submission_time, reverse=True)[:limit]

    def resolve(self, text: str) -> RunId:
        """The run of this id or beginning of an id, else the latest of this name, or the `latest` of all.

        Raises UnknownRun, AmbiguousRun.
        """
        if self._reader_of(RunId(text)) is not None:
            return RunId(text)  # whether or not the store answers
        names = self.ids(RECENT)
        if text == "latest" and names:
            return names[0]
        if text in names:
            return RunId(text)
        fitting = [name for name in names if name.startswith(text)]
        if not fitting and (named := self._named(text)) is not None:
            return named
        if not fitting:
            check_not_pruned(self.store, RunId(text))
            near = get_close_matches(text, names, 1, cutoff=0.8)
            suggestion = f" Did you mean '{near[0]}'?" if near else ""
            raise UnknownRun(f"there is no run '{text}'.{suggestion} `orchestrator runs` lists the latest.")
        if len(fitting) > 1:
            listed = ", ".join(fitting[:5]) + (", …" if len(fitting) > 5 else "")
            hint = "give more of the id; `latest` is the newest run of all"
            raise AmbiguousRun(f"'{text}' is the beginning of {len(fitting)} runs: {listed}", hint=hint)
        return fitting[0]

    def get(self, run: RunId) -> KnownRun:
        """A run, from Redis as long as that has it; raises UnknownRun."""
        specification = Specification.read(self.store, run)
        reader = self._reader_of(run)
        if reader is not None:
            try:
                record = specification.record(reader)
                tracebacks = reader.tracebacks(run)
            except (UnreadableRun, RedisError) as error:
                log.warning("%s; this is what the artifact store knows", error)
            else:
                graph = specification.graph
                return KnownRun(record=record, graph=graph, tracebacks=tracebacks, reader=reader)
        try:
            final = read_final(self.store, run)
        except AlteredArtifact as error:
            log.warning("%s; this is what its manifests say", error)
            final = None
        if final is not None:
            return KnownRun(record=final[0], graph=specification.graph, tracebacks=final[1])
        return KnownRun(record=self._from_manifests(specification), graph=specification.graph)

    def listed(self, wanted: RunFilter | None = None, *, limit: int | None = None) -> Iterator[ListedRun]:
        """The latest runs that are wanted, newest first; of those that cannot be read, only that is said.

        Those that have ended are found in the index; only the others are read one by one.
        """
        wanted, found = wanted or RunFilter(), 0
        ids = self.ids(None if wanted != RunFilter() else limit)
        index = read_index(self.store) if len(ids) > FEW else {}
        live: dict[RunId, tuple[str, int]] = {}
        for _, states in self._answers(lambda reader: reader.states_and_rounds(ids)):
            live = states | live  # the first that has a run decides
        for run in ids:
            line = index.get(run)
            if line is not None and live.get(run, (line.state.value, line.round)) == (line.state, line.round):
                each = ListedRun(line, line.state.value)
            else:
                try:
                    known = self.get(run)
                except (AlteredArtifact, UnknownRun) as error:
                    log.warning("%s cannot be listed: %s", run, error)
                    continue
                each = ListedRun(RunSummary.of(known.record), known.state, known)
            if wanted.takes(each.summary, each.state):
                yield each
                found += 1
                if found == limit:
                    return

    def _reader_of(self, run: RunId) -> RunReader | None:
        """The Redis that has a run."""
        return next((reader for reader, knows in self._answers(lambda each: each.knows(run)) if knows), None)

    def _answers(self, ask: Callable[[RunReader], T]) -> Iterator[tuple[RunReader, T]]:
        """What each Redis answers, once it is wanted; one that has gone is left out, and that is said."""
        for reader in self.readers:
            try:
                answer = ask(reader)
            except RedisError as error:
                log.warning("Redis does not answer any more: %s", error)
            else:
                yield reader, answer

    def _named(self, name: str) -> RunId | None:
        """The latest run that a person has called so."""
        return next((each.summary.id for each in self.listed(RunFilter(name=name), limit=1)), None)

    def set_aside(self, run: RunId | None = None) -> list[SetAside]:
        """The messages of a run, or of no known one, that the supervisor has set aside, the latest first."""
        answers = self._answers(lambda reader: messages_set_aside(reader.client))
        found = [each for _, messages in answers for each in messages]
        if run is not None:
            return [each for each in found if each.run == run]
        known = set(self.ids(RECENT)) if found else set()
        return [each for each in found if each.run not in known]

    def _from_manifests(self, specification: Specification) -> RunRecord:
        """What can be told of a run that nobody wrote down: which of its nodes are done."""
        nodes = tuple(self._node_records(specification))
        begun = any(node.state is NodeState.SUCCEEDED for node in nodes)
        return RunRecord(
            id=specification.run,
            pipeline=specification.graph.pipeline,
            state=RunState.RUNNING if begun else RunState.PENDING,
            parameters=mask_values(specification.parameters),
            submitted=specification.submitted,
            labels=specification.labels,
            error="not finished: it was submitted, but its end was not written down",
            nodes=nodes,
        )

    def _node_records(self, specification: Specification) -> Iterator[NodeRecord]:
        run, graph = specification.run, specification.graph
        progress = progress_of(run, graph, self.store, Round.latest(self.store, run))
        for unreadable in sorted(progress.unreadable):
            log.warning("what %s of %s committed cannot be read: altered, or cut short", unreadable, run)
        for node in graph.everything:
            for name in progress.items_of(node.name) or (node.name,):
                output = progress.outputs.get(name)
                value = MISSING if output is None else inline(output)
                yield NodeRecord(
                    name=name,
                    stage=node.stage,
                    queue=node.policy.queue,
                    state=NodeState.WAITING if output is None else NodeState.SUCCEEDED,
                    value=None if value is MISSING else value,
                )
