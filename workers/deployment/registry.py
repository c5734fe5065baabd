"""Register models in MLflow's registry, and find versions by alias or number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchestrator import context
from orchestrator.settings import settings
from workers.deployment.errors import UnknownModel
from workers.deployment.local import local_registry
from workers.deployment.records import CHALLENGER, CHAMPION, ModelVersion
from workers.tracking.client import open_client
from workers.tracking.errors import clear_errors
from workers.tracking.library import settle_environment
from workers.tracking.models import DIGEST, NODE, RUN, place_of
from workers.tracking.pending import is_pending

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion as Registered
    from mlflow.exceptions import MlflowException

METRIC, SCORE = "orchestrator.metric", "orchestrator.score"
_LOGGED_MODEL = "models:/m-"


def register(
    model_uri: str,
    *,
    name: str,
    metric: str,
    score: float,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> ModelVersion:
    """Register a logged model as the newest version of `name`, with the alias `challenger`.

    `score` is the model's value of `metric`. A repeated call from the same node of the same run returns the
    version that it made; a version whose model a later attempt has replaced is deleted. A model that was
    logged while MLflow was unavailable is delivered first; while MLflow is still unavailable,
    TrackingUnavailable is raised, and the stage is retried.
    """
    if not model_uri:
        raise UnknownModel(
            f"there is no model to register as '{name}': its URI is empty",
            hint="Nothing tracks this run. Outside a worker, use `with workers.tracking.tracked(...)`.",
        )
    local = local_registry()
    if local is not None:
        return local.register(model_uri, name, metric, score)
    with open_registry() as client:
        source = context.model_uri(model_uri)
        logged = _logged_model(client, source)
        if _orphaned(source, logged):
            raise UnknownModel(f"there is no logged model {source} to register as '{name}'")
        _ensure_model(client, name)
        context.check()
        if not _of_source(_made_here(client, name), source):
            scored = {METRIC: metric, SCORE: repr(float(score))}
            _make_version(client, name, source, logged, {**tags, **scored})
        version = _leave_one(client, name, source, logged)
        if CHAMPION not in version.aliases:
            context.check()
            client.set_registered_model_alias(name, CHALLENGER, str(version.version))
        return _as_version(version)


def champion(name: str) -> ModelVersion | None:
    """Return the champion of `name`; None if there is none yet."""
    local = local_registry()
    if local is not None:
        return local.by_alias(name, CHAMPION)
    with open_registry() as client:
        found = by_alias(client, name, CHAMPION)
        return None if found is None else _as_version(found)


@contextmanager
def open_registry() -> Iterator[MlflowClient]:
    """Yield a client of the registry of MLflow's current tracking URI.

    A worker sets the URI. If it is not set, it becomes the one that workers on this machine use, rather than
    a new database in the current folder.
    """
    settle_environment()
    import mlflow

    if not mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(settings().tracking_uri)
    tracking_uri = mlflow.get_tracking_uri()
    with clear_errors(tracking_uri):
        yield open_client(tracking_uri)


def by_alias(client: MlflowClient, name: str, alias: str) -> Registered | None:
    """Return the version with an alias; None if there is no such model or alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if _is_absent(client, name, error):
            return None
        raise


def by_number(client: MlflowClient, name: str, version: int) -> Registered:
    """Return the version of this number; raises UnknownModel."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if not _is_absent(client, name, error):
            raise
        raise UnknownModel(f"the registry has no version {version} of '{name}'") from error


def _is_absent(client: MlflowClient, name: str, error: MlflowException) -> bool:
    """Whether the error means that the version does not exist.

    An MLflow with authentication answers 403 for a missing model unless the user is an administrator; a
    search by name is allowed for all users.
    """
    if "failed with error code 403" in str(error):
        return not client.search_registered_models(f"name = '{name}'", max_results=1)
    return "not found" in str(error)


def _logged_model(client: MlflowClient, model_uri: str) -> LoggedModel | None:
    """Return the logged model of a URI; None for other URIs and for a deleted model."""
    from mlflow.exceptions import MlflowException

    if not model_uri.startswith(_LOGGED_MODEL):
        return None
    try:
        return client.get_logged_model(model_uri.removeprefix("models:/"))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _orphaned(model_uri: str, logged: LoggedModel | None) -> bool:
    return logged is None and (model_uri.startswith(_LOGGED_MODEL) or is_pending(model_uri))


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _make_version(
    client: MlflowClient, name: str, source: str, logged: LoggedModel | None, tags: Mapping[str, str]
) -> None:
    own = {RUN: context.run, NODE: context.node}
    if logged and DIGEST in logged.tags:
        own[DIGEST] = logged.tags[DIGEST]
    client.create_model_version(
        name,
        source,
        run_id=logged.source_run_id if logged else None,
        tags={**tags, **own},
        model_id=logged.model_id if logged else None,
        await_creation_for=0,
    )


def _leave_one(client: MlflowClient, name: str, source: str, logged: LoggedModel | None) -> Registered:
    """Return the node's version of this source; delete duplicates, and versions of replaced models.

    A worker that was paused before it made its version makes a duplicate when it continues: the first counts.
    """
    made_here = _made_here(client, name)
    stays = min(_of_source(made_here, source), key=lambda known: int(known.version))
    for known in made_here:
        if known.version == stays.version or CHAMPION in known.aliases:
            continue
        if known.source == source or _is_replaced(client, known.source, logged):
            client.delete_model_version(name, str(known.version))
    return stays


def _is_replaced(client: MlflowClient, source: str, later: LoggedModel | None) -> bool:
    """Whether a model is deleted, or a later attempt has logged another for its node and name."""
    earlier = _logged_model(client, source)
    if earlier is None or later is None:
        return _orphaned(source, earlier)
    places = [(model.name, model.tags.get(RUN), model.tags.get(NODE)) for model in (earlier, later)]
    return places[0] == places[1] and place_of(earlier) < place_of(later)


def _of_source(versions: list[Registered], source: str) -> list[Registered]:
    return [version for version in versions if version.source == source]


def _made_here(client: MlflowClient, name: str) -> list[Registered]:
    """Return the versions that this node of this run has made."""
    return list(
        client.search_model_versions(
            f"name = '{name}' AND tags.`{RUN}` = '{context.run}' AND tags.`{NODE}` = '{context.node}'"
        )
    )


def _as_version(found: Registered) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=int(found.version),
        uri=f"models:/{found.name}/{found.version}",
        source_run=found.run_id or "",
        score=float(found.tags.get(SCORE, "nan")),
    )
