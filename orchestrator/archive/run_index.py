"""An index of ended runs, so that a list of many reads a few files instead of several for each run.

It is only a projection: a run that is not in it is read from its own files, and a line of a run that is not
in the store any more is not used. Each end of a run writes an entry of its own; entries are merged into
segments now and then. A segment is written before what it holds is removed, and of one run the highest round
counts, so that a line that is there twice, or a process that dies in between, does no harm.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from orchestrator.artifacts import StoreError
from orchestrator.artifacts.digest import digest_of_bytes
from orchestrator.run_id import RunId
from orchestrator.runs.record import Labels, RunRecord, moment, stamp
from orchestrator.runs.states import NodeState, RunState

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.artifacts.tree import Tree
    from orchestrator.authoring.graph import JSON

log = logging.getLogger("orchestrator.archive")

INDEX = "index"
ENTRIES, SEGMENTS = f"{INDEX}/runs", f"{INDEX}/segments"

#: Entries that are merged at once at the least, and segments that are merged into one.
FEW_ENTRIES, MANY_SEGMENTS = 64, 16


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a list tells of a run."""

    id: RunId
    pipeline: str
    state: RunState
    round: int = 0
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""  #: its first line
    done: int = 0  #: nodes and items that have succeeded
    nodes: int = 0
    labels: Labels = field(default_factory=Labels)

    @classmethod
    def of(cls, record: RunRecord) -> RunSummary:
        """What a list tells of a run with this record."""
        return cls(
            id=record.id,
            pipeline=record.pipeline,
            state=record.state,
            round=record.round,
            submitted=record.submitted,
            started=record.started,
            ended=record.ended,
            error=(record.error or "").partition("\n")[0],
            done=sum(node.state is NodeState.SUCCEEDED for node in record.nodes),
            nodes=len(record.nodes),
            labels=record.labels,
        )

    def to_json(self) -> dict[str, JSON]:
        """As a line of the index."""
        return {
            "id": self.id,
            "pipeline": self.pipeline,
            "state": self.state.value,
            "round": self.round,
            "submitted": stamp(self.submitted),
            "started": stamp(self.started),
            "ended": stamp(self.ended),
            "error": self.error,
            "done": self.done,
            "nodes": self.nodes,
            **self.labels.to_json(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> RunSummary:
        """The inverse of `to_json`."""
        return cls(
            id=RunId(str(plain["id"])),
            pipeline=str(plain["pipeline"]),
            state=RunState(str(plain["state"])),
            round=int(cast("int", plain["round"])),
            submitted=moment(plain["submitted"]),
            started=moment(plain["started"]),
            ended=moment(plain["ended"]),
            error=str(plain["error"]),
            done=int(cast("int", plain["done"])),
            nodes=int(cast("int", plain["nodes"])),
            labels=Labels.from_json(plain),
        )


def add_to_index(store: ArtifactStore, record: RunRecord) -> None:
    """Enter the end of a run; now and then, entries are merged. A failure costs speed only, and is logged."""
    try:
        store.write(f"{ENTRIES}/{record.id}@{record.round}.json", _text([RunSummary.of(record)]))
        if int(digest_of_bytes(record.id.encode())[-4:], 16) % FEW_ENTRIES == 0:
            merge(store)
    except StoreError as error:
        extra = {"action": "not indexed", "run": record.id}
        log.warning("run %s is not in the index: %s", record.id, error, extra=extra)


def read_index(store: ArtifactStore) -> dict[RunId, RunSummary]:
    """The latest known end of each run in the index; what cannot be read is left out."""
    return _latest(store, _all_keys(store))


def _all_keys(store: ArtifactStore) -> Iterator[str]:
    # Segments are listed after the entries were read: what is merged meanwhile is found in its segment.
    yield from store.keys(ENTRIES)
    yield from store.keys(SEGMENTS)


def merge(store: ArtifactStore, *, least: int = FEW_ENTRIES) -> None:
    """Merge the entries into a segment, if there are at `least` so many, and many segments into one."""
    entries = list(store.keys(ENTRIES))
    if len(entries) >= least:
        _merge(store, entries)
    segments = list(store.keys(SEGMENTS))
    if len(segments) >= MANY_SEGMENTS:
        _merge(store, segments)


def add_segment(store: ArtifactStore, summaries: Iterable[RunSummary]) -> str:
    """Enter ends of runs as one segment, whose name tells its content; return its key."""
    text = _text(summaries)
    segment = f"{SEGMENTS}/{digest_of_bytes(text).partition(':')[2][:32]}.jsonl"
    store.create(segment, text, flush=True)
    return segment


def drop_from_index(store: ArtifactStore, runs: Set[RunId]) -> None:
    """Remove the lines of these runs."""
    if not runs:
        return
    for key in [*store.keys(ENTRIES), *store.keys(SEGMENTS)]:
        lines = list(_lines(store, key))
        left = [line for line in lines if line.id not in runs]
        if len(left) < len(lines):
            if left:
                add_segment(store, left)
            store.remove(key)


def _merge(store: ArtifactStore, keys: list[str]) -> None:
    segment = add_segment(store, _latest(store, keys).values())
    for key in keys:
        if key != segment:
            store.remove(key)


def _latest(store: ArtifactStore, keys: Iterable[str]) -> dict[RunId, RunSummary]:
    """Of each run in these files, the line of its highest round, the first one if there are several."""
    found: dict[RunId, RunSummary] = {}
    for key in keys:
        for summary in _lines(store, key):
            if summary.id not in found or found[summary.id].round < summary.round:
                found[summary.id] = summary
    return found


def _text(summaries: Iterable[RunSummary]) -> bytes:
    lines = (json.dumps(summary.to_json(), separators=(",", ":")) for summary in summaries)
    return "\n".join(lines).encode()


def _lines(store: ArtifactStore, key: str) -> Iterator[RunSummary]:
    for line in (store.read(key) or b"").splitlines():
        try:
            yield RunSummary.from_json(cast("Tree", json.loads(line)))
        except (ValueError, TypeError, KeyError):
            log.warning("%s has a line that cannot be read", key, extra={"action": "record altered"})
