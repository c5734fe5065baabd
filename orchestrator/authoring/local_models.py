"""The models of a run in this process: kept in memory, and gone with the run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class LocalVersion:
    """A version of a model that a stage of this run has registered."""

    number: int
    uri: str
    metric: str
    score: float
    made_by: str  #: the node
    previous: int | None = None  #: the champion before it
    left_by: str = ""  #: the node that has gone back from it
    left_in: int = 0  #: and in which attempt


@dataclass
class LocalModels:
    """What a worker's stages would have in MLflow: logged models by URI, versions and aliases by name."""

    logged: dict[str, object] = field(default_factory=dict)
    versions: dict[str, list[LocalVersion]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)  #: by the model's name and the alias

    def keep(self, model: object, name: str) -> str:
        """Keep a fitted model; its URI, which means something within this run only."""
        uri = f"local-model:/{len(self.logged) + 1}/{name}"
        self.logged[uri] = model
        return uri
