"""What an attempt could not log while MLflow was away: kept until it is delivered, or refused for good."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.authoring.graph import JSON
from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """What waits of one attempt of a node. Whoever writes and delivers it knows what an entry means."""

    run: RunId
    node: str
    attempt: int
    began: float  #: when the attempt began, in seconds since 1970
    subject: Mapping[str, JSON]  #: the attempt, as far as it is needed to log for it
    entries: Sequence[JSON] = ()  #: what waits, in the order in which it was logged
    refused: Sequence[str] = ()  #: what cannot be delivered, and why

    def write(self, store: ArtifactStore) -> None:
        """Keep it."""
        text = {
            "began": self.began,
            "subject": dict(self.subject),
            "entries": list(self.entries),
            "refused": list(self.refused),
        }
        store.write(self._key, json.dumps(text, separators=(",", ":")).encode())

    def remove(self, store: ArtifactStore) -> None:
        """Forget it: all of it is delivered."""
        store.remove(self._key)

    @property
    def _key(self) -> str:
        return f"{_folder(self.run)}/{self.node}/{self.attempt}.json"


def outboxes(store: ArtifactStore, run: RunId, node: str = "") -> list[Outbox]:
    """The outboxes of a run, or of one of its nodes, in the order in which their attempts began."""
    return sorted(_read(store, run, node), key=lambda outbox: outbox.began)


def _read(store: ArtifactStore, run: RunId, node: str) -> Iterator[Outbox]:
    for key in store.keys(f"{_folder(run)}/{node}" if node else _folder(run)):
        data = store.read(key)
        if data is None:
            continue  # somebody else has just delivered it
        *_, name, number = key.removesuffix(".json").split("/")
        plain = cast("dict[str, JSON]", json.loads(data))
        yield Outbox(
            run=run,
            node=name,
            attempt=int(number),
            began=cast("float", plain["began"]),
            subject=cast("Mapping[str, JSON]", plain["subject"]),
            entries=cast("list[JSON]", plain["entries"]),
            refused=cast("list[str]", plain["refused"]),
        )


def _folder(run: RunId) -> str:
    return f"runs/{run}/outbox"
