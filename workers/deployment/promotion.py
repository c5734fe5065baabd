"""Promotion and rollback: move the champion alias, once for all attempts of a node."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from orchestrator import context
from workers.deployment.errors import NothingToRollBack
from workers.deployment.local import local_registry
from workers.deployment.records import CHALLENGER, CHAMPION, ModelVersion, Promotion
from workers.deployment.registry import by_alias, by_number, open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Registered

log = logging.getLogger(__name__)

#: Tags of a version: the champion before it, and the node and attempt that began to promote it.
PREVIOUS = "orchestrator.previous_champion"
PROMOTED_BY, PROMOTED_IN = "orchestrator.promoted_by", "orchestrator.promoted_in"
#: Tags of a version: the node and attempt that began to roll back from it to its predecessor.
LEFT_BY, LEFT_IN = "orchestrator.rolled_back_by", "orchestrator.rolled_back_in"


def promote(version: ModelVersion) -> Promotion:
    """Make this version the champion. A tag of the version records the former one for `rollback`.

    If an earlier attempt of the same node has begun to promote it and the champion has changed since, that
    attempt or a later promotion has changed it: then nothing is done.
    """
    local = local_registry()
    if local is not None:
        return _told(local.promote(version.name, version.version))
    with open_registry() as client:
        found = by_number(client, version.name, version.version)
        former = by_alias(client, version.name, CHAMPION)
        previous = None if former is None else int(former.version)
        if previous == version.version:
            promotion = Promotion(version.name, version.version, _previous(former), changed=False)
        elif _begun_before(found, PROMOTED_BY, PROMOTED_IN) and _moved_on(found, previous):
            promotion = Promotion(
                version.name, version.version, _previous(found), changed=False, replaced_by=previous
            )
        else:
            # The tags first: if the worker dies in between, the former champion stays.
            _tag(client, found, PREVIOUS, str(previous or ""))
            if found.tags.get(LEFT_BY):
                _tag(client, found, LEFT_BY, "")
            _note(client, found, PROMOTED_BY, PROMOTED_IN)
            context.check()
            client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
            promotion = Promotion(version.name, version.version, previous)
        _drop_challenger(client, version.name, version.version)
        return _told(promotion)


def rollback(name: str, *, of: int | None = None) -> Promotion:
    """Make the champion's predecessor the champion again; a further call goes back further.

    With `of`, only from that version: a champion that was promoted since stays. If an earlier attempt of the
    node has rolled back, another attempt does not go back further.
    """
    local = local_registry()
    if local is not None:
        return _told(local.rollback(name, of))
    with open_registry() as client:
        current = by_alias(client, name, CHAMPION)
        if current is None:
            raise NothingToRollBack(f"'{name}' has no champion", hint="A run that passes its gate makes one.")
        left = _left_before(client, name)
        if left is None and of is not None and int(current.version) != of:
            left = by_number(client, name, of)
        if left is not None and left.version != current.version:
            return _told(Promotion(name, int(current.version), int(left.version), changed=False))
        target = _previous(current)
        if target is None:
            raise NothingToRollBack(
                f"version {current.version} is the first champion of '{name}': there is none to go back to"
            )
        by_number(client, name, target)
        _note(client, current, LEFT_BY, LEFT_IN)
        context.check()
        client.set_registered_model_alias(name, CHAMPION, str(target))
        return _told(Promotion(name, target, int(current.version)))


def _previous(version: Registered | None) -> int | None:
    number = "" if version is None else version.tags.get(PREVIOUS, "")
    return int(number) if number else None


def _note(client: MlflowClient, version: Registered, by: str, within: str) -> None:
    """Record in a version's tags which attempt begins a promotion or a rollback."""
    _tag(client, version, within, str(context.attempt))
    _tag(client, version, by, context.idempotency_key)


def _begun_before(version: Registered, by: str, within: str) -> bool:
    """Whether another attempt of the calling node has begun the same operation."""
    tags = version.tags
    return bool(tags.get(by) == context.idempotency_key and tags.get(within) != str(context.attempt))


def _moved_on(version: Registered, champion: int | None) -> bool:
    """Whether the champion has changed since the promotion began, or the version was rolled back."""
    return champion != _previous(version) or bool(version.tags.get(LEFT_BY))


def _left_before(client: MlflowClient, name: str) -> Registered | None:
    """Return the version from which another attempt of the calling node began to roll back."""
    wanted = f"name = '{name}' AND tags.`{LEFT_BY}` = '{context.idempotency_key}'"
    found = client.search_model_versions(wanted)
    return next((version for version in found if _begun_before(version, LEFT_BY, LEFT_IN)), None)


def _tag(client: MlflowClient, version: Registered, name: str, value: str) -> None:
    client.set_model_version_tag(version.name, str(version.version), name, value)


def _drop_challenger(client: MlflowClient, name: str, version: int) -> None:
    challenger = by_alias(client, name, CHALLENGER)
    if challenger is not None and int(challenger.version) == version:
        client.delete_registered_model_alias(name, CHALLENGER)


def _told(promotion: Promotion) -> Promotion:
    log.info(
        promotion.summary,
        extra={"action": "model promoted", "run": context.run, "node": context.node},
    )
    return promotion
