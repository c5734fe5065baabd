"""What an attempt could not log while MLflow was away: kept until it is delivered, or refused for good."""

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


_FILE = re.compile(r"(?:([0-9]+)-)?([0-9]+)\.json")  #: the round, but for the first, and the attempt


class _Text(BaseModel):
    """What stands in the file of an outbox: somebody may have altered it."""

    subject: dict[str, JsonValue] = {}
    entries: list[JsonValue] = []
    refused: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """What waits of one attempt of a node. Whoever writes and delivers it knows what an entry means."""

    run: RunId
    node: str
    attempt: int
    round: int = 0  #: of the run, that the attempt belongs to
    subject: Mapping[str, JSON]  #: the attempt, as far as it is needed to log for it
    entries: Sequence[JSON] = ()  #: what waits, in the order in which it was logged
    refused: Sequence[str] = ()  #: what cannot be delivered, and why

    def write(self, store: ArtifactStore) -> None:
        """Keep it, on the disk: the node that logged it is about to be done, and logs it no more."""
        text = {
            "subject": dict(self.subject),
            "entries": list(self.entries),
            "refused": list(self.refused),
        }
        store.write(self._key, json.dumps(text, separators=(",", ":")).encode(), flush=True)

    def remove(self, store: ArtifactStore) -> None:
        """Forget it: all of it is delivered."""
        store.remove(self._key)

    @property
    def _key(self) -> str:
        which = f"{self.round}-{self.attempt}" if self.round else str(self.attempt)
        return f"{_folder(self.run)}/{self.node}/{which}.json"


def outboxes(store: ArtifactStore, run: RunId, node: str = "") -> list[Outbox]:
    """The outboxes of a run, or of one of its nodes, in the order of their attempts."""
    return sorted(_read(store, run, node), key=lambda outbox: (outbox.round, outbox.attempt, outbox.node))


def _read(store: ArtifactStore, run: RunId, node: str) -> Iterator[Outbox]:
    for key in store.keys(f"{_folder(run)}/{node}" if node else _folder(run)):
        name, _, file = key.removeprefix(f"{_folder(run)}/").rpartition("/")
        which = _FILE.fullmatch(file)
        if "/" in name or not name or which is None:
            continue  # nobody's here
        data = store.read(key)
        if data is None:
            continue  # somebody else has just delivered it
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
