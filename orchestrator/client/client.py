"""The Python client: submits pipelines, finds runs and models. The command line uses the same functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ParamSpec, overload

from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.client.connection import join_redis, join_stack, leave_stack, open_runs, require_modules
from orchestrator.client.errors import NoStack, NotImportable, OtherStack
from orchestrator.client.models import Estimator, ModelVersion, registry
from orchestrator.client.pipeline_lookup import find_pipeline
from orchestrator.client.run import Run
from orchestrator.client.run_filter import RunFilter, parse_since
from orchestrator.client.run_lookup import Records
from orchestrator.lifecycle.errors import InvalidLabels
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.messaging.app import follow_settings
from orchestrator.runs.record import Labels
from orchestrator.settings import settings

P = ParamSpec("P")


def connect(redis_url: str | None = None) -> Client:
    """A client of the Redis at `redis_url`, else of REDIS_URL, else of the local stack that is up.

    Without any of them, runs and their outputs are still read from the store; submitting raises NoStack.
    """
    leave_stack()
    if redis_url is not None:
        join_redis(redis_url)
    records = Records.open()
    return Client(records, settings().redis_url)


@dataclass(frozen=True)
class Client:
    """The runs, outputs and models of one stack; made by `connect`."""

    records: Records
    redis_url: str | None = None  #: where it submits; None: to the stack that is up by then
    cache: bool = True  #: whether runs that it submits may take results of earlier ones
    labels: Labels = field(default_factory=Labels)  #: of the runs that it submits

    def __repr__(self) -> str:
        where = "the store only" if settings().redis_url is None else "a stack"
        return f"<Client of {where}, {self.records.store.url}>"

    def with_options(
        self,
        *,
        cache: bool | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        note: str | None = None,
    ) -> Client:
        """The same client with other options for the runs that it submits: their name, tags and note."""
        if tags is not None and not isinstance(tags, Mapping):
            raise InvalidLabels("tags are texts by name, such as tags={'team': 'risk'}")
        labels = Labels(
            name=self.labels.name if name is None else name,
            tags=self.labels.tags if tags is None else dict(tags),
            note=self.labels.note if note is None else note,
        )
        return replace(self, cache=self.cache if cache is None else cache, labels=labels)

    @overload
    def submit(self, pipeline: str, /, **parameters: object) -> Run: ...
    @overload
    def submit(self, pipeline: Pipeline[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Run: ...
    def submit(self, pipeline: object, /, *args: object, **kwargs: object) -> Run:
        """Submit a pipeline, by its name or itself, with its parameters; returns at once.

        Everything is checked first: raises UnknownPipeline, InvalidParameters, InvalidPipeline, NoStack,
        RedisUnreachable, and NotImportable for a pipeline that workers cannot import.
        """
        found = find_pipeline(pipeline) if isinstance(pipeline, str) else pipeline
        if not isinstance(found, Pipeline):
            raise TypeError(f"submit takes a pipeline or its name, not {type(pipeline).__name__}")
        if found.module == "__main__":
            raise NotImportable(
                f"the pipeline '{found.name}' is defined in a notebook or a script: workers cannot import it",
                hint="put it into a module, and import it from there",
            )
        prepared = prepare(
            found,
            found.arguments(*args, **kwargs),
            queues=settings().queues,
            cache=self.cache,
            labels=self.labels,
        )
        stack = join_stack()
        if self.redis_url not in (None, settings().redis_url):
            raise OtherStack(
                "a later `connect` in this process has gone to another Redis",
                hint="submit with the client that was made last, or connect again",
            )
        if settings().redis_url is None:
            raise NoStack(
                "there is no stack up, and no REDIS_URL",
                hint="start one with `orchestrator up`, or name a Redis: connect('redis://…')",
            )
        if stack is not None:
            require_modules(stack, found.module)
        follow_settings()
        store = ArtifactStore(settings().store_url)
        return Run(replace(self, records=Records.open()), submit(prepared, store=store, runs=open_runs()))

    def run(self, run: str) -> Run:
        """The run of an id, its beginning, or a name, or the `latest`; raises UnknownRun, AmbiguousRun."""
        return Run(self, self.records.resolve(run))

    def runs(
        self,
        *,
        pipeline: str | None = None,
        state: str | Sequence[str] = (),
        name: str | None = None,
        tags: Mapping[str, str | None] = MappingProxyType({}),
        since: str | datetime | None = None,
        limit: int | None = 20,
    ) -> list[Run]:
        """The latest runs that are like this, newest first; raises InvalidFilter.

        A tag with the value None may have any; `since` is a moment, or a text such as `7d` or `yesterday`;
        without a zone, it is the reader's own.
        """
        wanted = RunFilter(
            pipeline=pipeline,
            states=frozenset([state] if isinstance(state, str) else state),
            name=name,
            tags=tags,
            since=_moment(since),
        )
        return [Run(self, each.summary.id) for each in self.records.listed(wanted, limit=limit)]

    def models(self, name: str | None = None) -> Sequence[ModelVersion]:
        """The versions of a registered model, or of all, the newest of each first."""
        return registry().versions(name)

    def load_model(self, name: str, alias: str = "champion", *, version: int | None = None) -> Estimator:
        """The estimator that is registered under `name` with `alias`, or as `version`.

        Only scikit-learn models in skops format are loaded, and only if they are unaltered: raises
        UnsafeModel for all others, UnknownModel where there is none.
        """
        return registry().load_model(name, alias, version=version)


def _moment(since: str | datetime | None) -> datetime | None:
    """An aware moment; raises InvalidFilter."""
    if isinstance(since, str):
        return parse_since(since, datetime.now(UTC))
    return None if since is None else since.astimezone()
