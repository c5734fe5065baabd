"""Log entries as values: written to MLflow at once, or kept as JSON and written when it is available.

Kept entries may have been altered, so they are validated as strictly as messages. Their files are blobs,
referenced by digest only, so that an altered entry cannot make a worker publish a file of its own machine.
"""

from __future__ import annotations

import logging
import posixpath
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter

from orchestrator.artifacts import Digest
from orchestrator.artifacts.scratch import temporary_folder
from workers.tracking.flushing import flush_artifacts
from workers.tracking.models import Authorship, enter_late, enter_model
from workers.tracking.names import MOST_METRICS, MOST_PARAMS, in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    from orchestrator.artifacts import ArtifactStore
    from orchestrator.authoring.graph import JSON
    from workers.tracking.records import Remember

log = logging.getLogger(__name__)


def _within(path: str) -> str:
    """Validate an artifact path, which must stay inside the run's artifacts."""
    if posixpath.normpath(path).startswith(("/", "..")) or "\0" in path:
        raise ValueError("it leads out of the run's artifacts")
    return path


def _file_name(name: str) -> str:
    if name in (".", ".."):
        raise ValueError("it is no file's name")
    return name


_RUN_NAME = "mlflow.runName"
_LARGEST = 2**63 - 1  #: the largest integer in MLflow's databases
Time = Annotated[int, Field(ge=0, le=_LARGEST)]  #: milliseconds since 1970
Step = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$"), AfterValidator(_file_name)]
ArtifactPath = Annotated[str, AfterValidator(_within)]


@dataclass(frozen=True)
class Target:
    """The MLflow run that entries are written to, and the attempt that writes them."""

    client: MlflowClient
    run_id: str
    artifacts: str  #: URI of the run's artifacts
    author: Authorship
    remember: Remember
    store: ArtifactStore | None  #: holds the files of kept entries
    check: Callable[[], None]  #: raises if another worker has taken the node over
    known_params: bool = False  #: an earlier attempt may have logged params, which are immutable
    late: bool = False  #: a delivery of kept entries: a later attempt may have logged since

    @property
    def blobs(self) -> ArtifactStore:
        """The artifact store with the files of kept entries."""
        if self.store is None:
            raise LookupError("nothing can have been kept without an artifact store")
        return self.store


class Entry(BaseModel):
    """One log entry."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants", extra="forbid")
    kind: str

    def write(self, target: Target) -> str:
        """Write it to MLflow, idempotently; return the URI of a model, otherwise an empty string."""
        raise NotImplementedError

    def kept(self, store: ArtifactStore) -> Entry:
        """Return the entry with its files moved to the artifact store."""
        del store
        return self

    @property
    def named(self) -> str:
        """A short description for messages."""
        raise NotImplementedError


@dataclass
class Parts:
    """What goes into one kind of request, `log_batch`."""

    metrics: list[Metric] = field(default_factory=list)
    params: list[Param] = field(default_factory=list)
    tags: list[RunTag] = field(default_factory=list)


class SmallEntry(Entry):
    """An entry that can share a request with others."""

    def add_to(self, parts: Parts, target: Target) -> None:
        """Add what it says to a request."""
        raise NotImplementedError

    def write(self, target: Target) -> str:
        write_together([self], target)
        return ""


def write_together(entries: Iterable[SmallEntry], target: Target) -> None:
    """Write entries to MLflow in as few requests as its limits allow."""
    parts = Parts()
    for entry in entries:
        entry.add_to(parts, target)
    metrics = in_parts(parts.metrics, MOST_METRICS - 2 * MOST_PARAMS)
    params, tags = in_parts(parts.params, MOST_PARAMS), in_parts(parts.tags, MOST_PARAMS)
    for each in zip_longest(metrics, params, tags, fillvalue=()):
        target.client.log_batch(target.run_id, *each)


class Metrics(SmallEntry):
    """Metrics. MLflow deduplicates those with the same name, time, step and value."""

    kind: Literal["metrics"] = "metrics"
    values: dict[str, float]
    step: Step
    time: Time

    def add_to(self, parts: Parts, target: Target) -> None:
        from mlflow.entities import Metric

        del target
        parts.metrics += [Metric(name, value, self.time, self.step) for name, value in self.values.items()]

    @property
    def named(self) -> str:
        return f"metrics {', '.join(self.values)}"


class Params(SmallEntry):
    """Params, as text. MLflow's params are immutable: a value logged by an earlier attempt stays."""

    kind: Literal["params"] = "params"
    values: dict[str, str]

    def add_to(self, parts: Parts, target: Target) -> None:
        from mlflow.entities import Param

        added = {(each.key, each.value) for each in parts.params}
        values = self._new(target) if target.known_params else self.values
        parts.params += [Param(*each) for each in values.items() if each not in added]

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


class Tag(SmallEntry):
    """A tag; the last value of a name counts."""

    kind: Literal["tag"] = "tag"
    name: str
    value: str

    def add_to(self, parts: Parts, target: Target) -> None:
        from mlflow.entities import RunTag

        if self.name == _RUN_NAME:  # which only this call takes for what it is
            target.client.set_tag(target.run_id, self.name, self.value)
        else:
            parts.tags = [each for each in parts.tags if each.key != self.name]
            parts.tags.append(RunTag(self.name, self.value))

    @property
    def named(self) -> str:
        return f"tag {self.name}"


class Text(Entry):
    """A text that is logged as a file."""

    kind: Literal["text"] = "text"
    text: str
    file_name: Annotated[ArtifactPath, Field(min_length=1)]

    def write(self, target: Target) -> str:
        target.client.log_text(target.run_id, self.text, self.file_name)
        flush_artifacts(target.artifacts, self.file_name)
        return ""

    @property
    def named(self) -> str:
        return f"text {self.file_name}"


class File(Entry):
    """A file or a folder of this machine."""

    kind: Literal["local file"] = "local file"
    path: Path
    folder: ArtifactPath = ""  #: target folder in the run's artifacts

    def write(self, target: Target) -> str:
        target.client.log_artifact(target.run_id, str(self.path), self.folder or None)
        flush_artifacts(target.artifacts, self.folder, self.path.name)
        return ""

    def kept(self, store: ArtifactStore) -> Entry:
        return KeptFile(
            name=self.path.name,
            is_folder=self.path.is_dir(),
            folder=self.folder,
            digest=store.put(self.path),
        )

    @property
    def named(self) -> str:
        return f"artifact {self.path.name}"


class KeptFile(Entry):
    """A file or a folder in the artifact store."""

    kind: Literal["file"] = "file"
    name: FileName
    is_folder: bool
    folder: ArtifactPath = ""  #: target folder in the run's artifacts
    digest: Sha256

    def write(self, target: Target) -> str:
        find = target.blobs.folder if self.is_folder else target.blobs.file
        path = find(Digest(self.digest), self.name)
        target.client.log_artifact(target.run_id, str(path), self.folder or None)
        flush_artifacts(target.artifacts, self.folder, self.name)
        return ""

    @property
    def named(self) -> str:
        return f"artifact {self.name}"


class LoggedModel(Entry):
    """A fitted estimator, saved in a folder of this machine, which writing modifies."""

    kind: Literal["local model"] = "local model"
    name: str
    path: Path
    number: int  #: its number among the models of its attempt

    def write(self, target: Target) -> str:
        client, run_id, author = target.client, target.run_id, target.author
        return enter_model(client, run_id, self.name, self.path, author, self.number, target.check)

    def kept(self, store: ArtifactStore) -> Entry:
        return KeptModel(name=self.name, number=self.number, digest=store.put(self.path))

    @property
    def named(self) -> str:
        return f"model {self.name}"


class KeptModel(Entry):
    """A fitted estimator, as a folder in the artifact store."""

    kind: Literal["model"] = "model"
    name: Annotated[str, Field(pattern=r"""^[^/:.%"']+$""")]
    #: Its number among the models of its attempt; earlier releases stored the time.
    number: Annotated[int, Field(ge=0, le=_LARGEST, validation_alias=AliasChoices("number", "time"))]
    digest: Sha256

    def write(self, target: Target) -> str:
        client, run_id, author = target.client, target.run_id, target.author
        with self._own_copy(target.blobs) as folder:
            return enter_late(client, run_id, self.name, folder, author, self.number, target.remember)

    @property
    def named(self) -> str:
        return f"model {self.name}"

    @contextmanager
    def _own_copy(self, store: ArtifactStore) -> Iterator[Path]:
        """Yield a writable copy of the folder."""
        with temporary_folder() as folder:
            source = store.folder(Digest(self.digest), "model")
            yield shutil.copytree(source, folder / "model", copy_function=shutil.copyfile)


class Ending(Entry):
    """How the attempt ended, for a node with an MLflow run of its own."""

    kind: Literal["ending"] = "ending"
    status: Literal["FINISHED", "FAILED", "KILLED"]
    time: Time

    def write(self, target: Target) -> str:
        ends_the_node = self.status == "FINISHED" and not target.late
        if ends_the_node or target.author.is_latest(target.client.get_run(target.run_id).data.tags):
            target.client.set_terminated(target.run_id, self.status, self.time)
        return ""

    @property
    def named(self) -> str:
        return "how it ended"


AnyKept: TypeAlias = Annotated[
    Metrics | Params | Tag | Text | KeptFile | KeptModel | Ending, Field(discriminator="kind")
]
_KEPT: TypeAdapter[AnyKept] = TypeAdapter(AnyKept)


def to_json(entry: Entry) -> JSON:
    """Serialize a kept entry."""
    plain: JSON = entry.model_dump(mode="json")
    return plain


def from_json(plain: JSON) -> Entry:
    """The inverse of `to_json`; raises ValueError for anything that it has not written."""
    return _KEPT.validate_python(plain)
