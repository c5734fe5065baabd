"""What a stage logs, as values: written to MLflow at once, or kept as JSON and written when it is back."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orchestrator.artifacts import Digest
from workers.tracking.models import Authorship, enter_late, enter_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlflow import MlflowClient

    from orchestrator.artifacts import ArtifactStore
    from orchestrator.authoring.graph import JSON
    from workers.tracking.records import Remember

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The MLflow run that entries are written to, and on whose behalf."""

    client: MlflowClient
    run_id: str
    author: Authorship
    remember: Remember
    store: ArtifactStore | None  #: where files wait
    check: Callable[[], None]  #: raises if another worker has taken the node over
    known_params: bool = False  #: an earlier attempt may have set params, which never change
    late: bool = False  #: what was kept is delivered: a later attempt may have been there since


class Entry(BaseModel):
    """One thing that was logged."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants", extra="forbid")
    kind: str

    def write(self, target: Target) -> str:
        """Write it to MLflow, any number of times with the effect of one; a model's URI, else nothing."""
        raise NotImplementedError

    def kept(self, store: ArtifactStore) -> Entry:
        """The same, with its files in the artifact store."""
        del store
        return self

    @property
    def named(self) -> str:
        """What it is, in a few words."""
        raise NotImplementedError


class Metrics(Entry):
    """Numbers. MLflow keeps one of those with the same name, time, step and value."""

    kind: Literal["metrics"] = "metrics"
    values: dict[str, float]
    step: int
    time: int  #: milliseconds since 1970

    def write(self, target: Target) -> str:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, self.time, self.step) for name, value in self.values.items()]
        for part in _parts(metrics, 1000):
            target.client.log_batch(target.run_id, metrics=part)
        return ""

    @property
    def named(self) -> str:
        return f"metrics {', '.join(self.values)}"


class Params(Entry):
    """Settings, as text. One that an earlier attempt set stays as it is: MLflow's params never change."""

    kind: Literal["params"] = "params"
    values: dict[str, str]

    def write(self, target: Target) -> str:
        from mlflow.entities import Param

        values = self._new(target) if target.known_params else self.values
        for part in _parts([Param(name, value) for name, value in values.items()], 100):
            target.client.log_batch(target.run_id, params=part)
        return ""

    @property
    def named(self) -> str:
        return f"params {', '.join(self.values)}"

    def _new(self, target: Target) -> Mapping[str, str]:
        known = target.client.get_run(target.run_id).data.params
        for name in known.keys() & self.values.keys():
            if known[name] != self.values[name]:
                log.warning(
                    "param %s stays %s, as an earlier attempt logged it; this one has %s",
                    name,
                    known[name],
                    self.values[name],
                )
        return {name: value for name, value in self.values.items() if name not in known}


class Tag(Entry):
    """A label."""

    kind: Literal["tag"] = "tag"
    name: str
    value: str

    def write(self, target: Target) -> str:
        target.client.set_tag(target.run_id, self.name, self.value)
        return ""

    @property
    def named(self) -> str:
        return f"tag {self.name}"


class Text(Entry):
    """A text that becomes a file."""

    kind: Literal["text"] = "text"
    text: str
    file_name: str

    def write(self, target: Target) -> str:
        target.client.log_text(target.run_id, self.text, self.file_name)
        return ""

    @property
    def named(self) -> str:
        return f"text {self.file_name}"


class File(Entry):
    """A file or a folder: where it lies on this machine, or in the artifact store."""

    kind: Literal["file"] = "file"
    path: Path
    is_folder: bool
    folder: str = ""  #: of the run's artifacts
    digest: str = ""

    def write(self, target: Target) -> str:
        target.client.log_artifact(target.run_id, str(self._local(target.store)), self.folder or None)
        return ""

    def kept(self, store: ArtifactStore) -> Entry:
        return self.model_copy(update={"digest": store.put(self.path)})

    @property
    def named(self) -> str:
        return f"artifact {self.path.name}"

    def _local(self, store: ArtifactStore | None) -> Path:
        if not self.digest or store is None:
            return self.path
        find = store.folder if self.is_folder else store.file
        return find(Digest(self.digest), self.path.name)


class LoggedModel(Entry):
    """A fitted estimator, saved in a folder."""

    kind: Literal["model"] = "model"
    name: str
    path: Path
    time: int  #: milliseconds since 1970
    digest: str = ""

    def write(self, target: Target) -> str:
        client, run_id, author = target.client, target.run_id, target.author
        with self._own_copy(target.store) as folder:
            if target.late:
                return enter_late(client, run_id, self.name, folder, author, self.time, target.remember)
            return enter_model(client, run_id, self.name, folder, author, self.time, target.check)

    def kept(self, store: ArtifactStore) -> Entry:
        return self.model_copy(update={"digest": store.put(self.path)})

    @property
    def named(self) -> str:
        return f"model {self.name}"

    @contextmanager
    def _own_copy(self, store: ArtifactStore | None) -> Iterator[Path]:
        """The folder, to be written to."""
        if not self.digest or store is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            source = store.folder(Digest(self.digest), "model")
            yield shutil.copytree(source, Path(folder) / "model", copy_function=shutil.copyfile)


class Ending(Entry):
    """How the attempt ended, for a node with an MLflow run of its own."""

    kind: Literal["ending"] = "ending"
    status: str
    time: int  #: milliseconds since 1970

    def write(self, target: Target) -> str:
        if not target.late or target.author.is_latest(target.client.get_run(target.run_id).data.tags):
            target.client.set_terminated(target.run_id, self.status, self.time)
        return ""

    @property
    def named(self) -> str:
        return "how it ended"


AnyEntry: TypeAlias = Annotated[
    Metrics | Params | Tag | Text | File | LoggedModel | Ending, Field(discriminator="kind")
]
_ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(AnyEntry)


def to_json(entry: Entry) -> JSON:
    """An entry that is kept."""
    plain: JSON = entry.model_dump(mode="json")
    return plain


def from_json(plain: JSON) -> Entry:
    """The inverse of `to_json`."""
    return _ENTRY.validate_python(plain)


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    """The items in as many requests as MLflow's limits ask for."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
