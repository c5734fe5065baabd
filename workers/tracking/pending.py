"""A URI for a model that MLflow does not have yet: which pipeline, run, node and name it was logged by."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

_SCHEME = "pending-model:/"


@dataclass(frozen=True)
class PendingModel:
    """A model that waits in an outbox, or did when its URI was given out."""

    pipeline: str
    run: str
    node: str
    name: str

    def __str__(self) -> str:
        parts = (self.pipeline, self.run, self.node, self.name)
        return _SCHEME + "/".join(quote(part, safe="[]") for part in parts)

    @classmethod
    def of(cls, uri: str) -> PendingModel | None:
        """The model that a URI stands for; None if it is a URI of MLflow's."""
        if not is_pending(uri):
            return None
        return cls(*map(unquote, uri.removeprefix(_SCHEME).split("/")))


def is_pending(uri: str) -> bool:
    """Whether a URI stands for a model that may not be delivered yet."""
    return uri.startswith(_SCHEME)
