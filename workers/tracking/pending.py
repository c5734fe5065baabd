"""URIs of models that MLflow does not have yet: by pipeline, run, node and model name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

_SCHEME = "pending-model:/"


@dataclass(frozen=True)
class PendingModel:
    """A model that is in an outbox, or was when its URI was returned."""

    pipeline: str
    run: str
    node: str
    name: str

    def __str__(self) -> str:
        parts = (self.pipeline, self.run, self.node, self.name)
        return _SCHEME + "/".join(quote(part, safe="[]") for part in parts)

    @classmethod
    def of(cls, uri: str) -> PendingModel | None:
        """Parse the URI of a pending model; None if it is MLflow's own URI."""
        if not is_pending(uri):
            return None
        return cls(*map(unquote, uri.removeprefix(_SCHEME).split("/")))


def is_pending(uri: str) -> bool:
    """Whether a URI refers to a model that may not be delivered yet."""
    return uri.startswith(_SCHEME)
