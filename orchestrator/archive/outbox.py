"""Outboxes: what an attempt logged, kept until it is in MLflow: of a short one, or while MLflow is away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, JsonValue

from orchestrator.archive.integrity import as_written
from orchestrator.artifacts.errors import AlteredArtifact
from orchestrator.authoring.graph import JSON
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


_FILE = re.compile(r"(?:([0-9]+)-)?([0-9]+)\.json")  #: the round (omitted for round 0), and the attempt


class _Text(BaseModel):
    """The content of an outbox file, validated since it may have been altered."""

    subject: dict[str, JsonValue] = {}
    entries: list[JsonValue] = []
    refused: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """The pending entries of one attempt of a node; only `workers.tracking` interprets them."""

    run: RunId
    node: str
    attempt: int
    round: int = 0  #: the run's round that the attempt belongs to
    subject: Mapping[str, JSON]  #: the attempt's data that delivery needs
    entries: Sequence[JSON] = ()  #: pending entries, in the order they were logged
    refused: Sequence[str] = ()  #: entries that cannot be delivered, and why

    def write(self, store: ArtifactStore) -> None:
        """Store and flush it: the node is about to be committed and will not log it again."""
        text = {
            "subject": dict(self.subject),
            "entries": list(self.entries),
            "refused": list(self.refused),
        }
        store.write(self._key, json.dumps(text, separators=(",", ":")).encode(), flush=True)

    def is_there(self, store: ArtifactStore) -> bool:
        """Whether nobody has delivered and removed it since it was read."""
        return store.read(self._key) is not None

    def remove(self, store: ArtifactStore) -> None:
        """Remove it after all entries are delivered."""
        store.remove(self._key)

    @property
    def _key(self) -> str:
        which = f"{self.round}-{self.attempt}" if self.round else str(self.attempt)
        return f"{_folder(self.run)}/{self.node}/{which}.json"


def outboxes(store: ArtifactStore, run: RunId, node: str = "") -> list[Outbox]:
    """Return the outboxes of a run, or of one of its nodes, ordered by attempt."""
    return sorted(_read(store, run, node), key=lambda outbox: (outbox.round, outbox.attempt, outbox.node))


def waits_for_delivery(store: ArtifactStore, run: RunId) -> bool:
    """Whether anything that a run logged is neither in MLflow nor refused by it."""
    return any(outbox.entries for outbox in _read(store, run, ""))


def is_outbox(name: str) -> bool:
    """Whether this file of a run's folder is an outbox."""
    return name.startswith("outbox/")


def _read(store: ArtifactStore, run: RunId, node: str) -> Iterator[Outbox]:
    for key in store.keys(f"{_folder(run)}/{node}" if node else _folder(run)):
        name, _, file = key.removeprefix(f"{_folder(run)}/").rpartition("/")
        which = _FILE.fullmatch(file)
        if "/" in name or not name or which is None:
            continue  # not an outbox file
        data = store.read(key)
        if data is None:
            continue  # another process has just delivered it
        try:
            with as_written(store, key, hint="What it held is lost."):
                text = _Text.model_validate_json(data)
        except AlteredArtifact as error:
            text = _Text(refused=[str(error)])
        yield Outbox(
            run=run,
            node=name,
            attempt=int(which[2]),
            round=int(which[1] or 0),
            subject=text.subject,
            entries=text.entries,
            refused=text.refused,
        )


def _folder(run: RunId) -> str:
    return f"runs/{run}/outbox"
