"""Stored logs of attempts, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from orchestrator.archive.integrity import as_written
from orchestrator.run_id import RunId
from orchestrator.runs.record import moment, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


@dataclass(frozen=True)
class Line:
    """One line of an attempt's log."""

    time: datetime
    source: str  #: `stdout`, `stderr`, or the level and name of a logger
    text: str

    def to_text(self) -> str:
        """Return the line as JSON."""
        return json.dumps([stamp(self.time), self.source, self.text])

    @classmethod
    def from_text(cls, text: str) -> Line:
        """The inverse of `to_text`."""
        time, source, line = json.loads(text)
        return cls(cast("datetime", moment(time)), source, line)


def write_log(store: ArtifactStore, run: RunId, node: str, attempt: int, lines: Sequence[Line]) -> None:
    """Store an attempt's log."""
    store.write(_key(run, node, attempt), "\n".join(line.to_text() for line in lines).encode())


def read_log(store: ArtifactStore, run: RunId, node: str, attempt: int) -> Iterator[Line] | None:
    """Read an attempt's log; None if it wrote nothing."""
    key = _key(run, node, attempt)
    data = store.read(key)
    if data is None:
        return None
    with as_written(store, key, hint="Nothing else depends on it."):
        return iter([Line.from_text(line) for line in data.decode().splitlines()])


def logged_attempts(store: ArtifactStore, run: RunId) -> dict[str, list[int]]:
    """Return the numbers of the attempts with a stored log, by node."""
    folder = f"{_folder(run)}/"
    found: dict[str, list[int]] = {}
    for key in store.keys(folder):
        node, _, file = key.removeprefix(folder).rpartition("/")
        found.setdefault(node, []).append(int(file.removesuffix(".jsonl")))
    return found


def is_log(name: str) -> bool:
    """Whether this file of a run's folder is a log."""
    return name.startswith("logs/")


def _key(run: RunId, node: str, attempt: int) -> str:
    return f"{_folder(run)}/{node}/{attempt}.jsonl"


def _folder(run: RunId) -> str:
    return f"runs/{run}/logs"
