"""The errors of artifacts, of their store and of codecs."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class ArtifactError(OrchestratorError):
    """Any error of the artifact store or of its codecs."""


class StoreError(ArtifactError):
    """A request to the store failed, and would fail again: no permission, a wrong URL."""


class StoreUnavailable(StoreError):
    """A request to the store failed, and may succeed later: disk full, no connection."""

    transient = True


class MissingArtifact(StoreError):
    """A blob is not in the store."""


class AlteredArtifact(StoreError):
    """A blob or a record is not what was written: altered, or cut short."""


class WrongKey(ArtifactError):
    """A key, digest or file name that could lead out of its place in the store."""


class NoSuchPart(ArtifactError):
    """A path that leads to nothing in the stored value."""


class UnsupportedType(ArtifactError):
    """An annotation whose values cannot be stored."""

    def within(self, step: str) -> UnsupportedType:
        """The same error, seen from one level further up."""
        return type(self)(f"{step}: {self.args[0]}", hint=self.hint)


class UntrustedTypes(ArtifactError):
    """A model that holds types which nobody said may be loaded."""


class WrongValue(ArtifactError):
    """A value that is not what the annotation says; `steps` lead to it from the outside in."""

    def __init__(self, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.steps: tuple[str, ...] = ()

    def within(self, step: str) -> WrongValue:
        """The same error, seen from one level further up."""
        self.steps = (step, *self.steps)
        return self

    def __str__(self) -> str:
        return f"{', '.join(self.steps) or 'the value'} {self.args[0]}"


class NotWritable(ArtifactError):
    """A value has no form in the wanted kind of file, or the file cannot be written."""
