"""The codec of scikit-learn estimators: skops, which loads only types from an explicit list."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, cast

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from orchestrator.artifacts.codec import BlobCodec, described
from orchestrator.artifacts.errors import StoreError, UntrustedTypes, WrongValue
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digest_in
from orchestrator.artifacts.trust import trusted_types


class EstimatorCodec(BlobCodec):
    """An estimator, also of a subclass of the annotation."""

    kind = "estimator"

    def __init__(self, label: str, cls: type) -> None:
        super().__init__(label, plain=False, exact=cls)
        self._cls = cls

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        return {"codec": self.kind, "digest": store.put(dump_estimator(value))}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        digest = digest_in(tree)
        value = load_estimator(store.get(digest), f"artifact {digest}")
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        return value


def dump_estimator(value: object) -> bytes:
    """The skops file of an estimator, if all its types may be loaded again; equal estimators, equal bytes."""
    try:
        data = _repeatable(skops.io.dumps(value))
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise WrongValue(
            f"is a {described(value)} that skops cannot store: {error}",
            hint="Store it in another form: register_codec(YourClass, codec).",
        ) from error
    _refuse(data, f"this {described(value)}")
    return data


def load_estimator(data: bytes, source: str) -> object:
    """The estimator of a skops file, if it holds trusted types only; `source` names it in errors."""
    trusted = list(trusted_types())
    try:
        return skops.io.loads(data, trusted=trusted)
    except UntrustedTypesFoundException:
        _refuse(data, source)
        raise
    except (TypeError, ValueError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{source} is no estimator that can be loaded here: {error}",
            hint="Was it made with other versions of scikit-learn or skops? Then run its stage again.",
        ) from error


def _refuse(data: bytes, source: str) -> None:
    """Raise if the file holds types outside skops' own list and the setting's."""
    unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted_types()))
    if unknown:
        names = ",".join(unknown)
        raise UntrustedTypes(
            f"{source} holds types that are not trusted: {', '.join(unknown)}",
            hint=f"If you trust them, and all who can write to the store, add {names} to the setting "
            "ORCHESTRATOR_TRUSTED_TYPES (comma-separated) of the workers and of whoever loads the model.",
        )


def _repeatable(data: bytes) -> bytes:
    """The same skops file without what differs from one call to the next: memory addresses and times."""
    source = zipfile.ZipFile(io.BytesIO(data))
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    schema = _renumbered(json.loads(source.read("schema.json")), numbers, names, frozenset(source.namelist()))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new), source.read(old))  # ZipInfo's own time is 1980
        archive.writestr(zipfile.ZipInfo("schema.json"), json.dumps(schema))
    return target.getvalue()


def _renumbered(node: Any, numbers: dict[int, int], names: dict[str, str], files: frozenset[str]) -> Any:
    # `node` is any JSON. Objects are known by the order in which they appear, not by their address. What JSON
    # holds itself (JsonNode) is immutable: whether it is shared makes no difference, except in the bytes.
    if isinstance(node, list):
        return [_renumbered(part, numbers, names, files) for part in node]
    if not isinstance(node, dict):
        return node
    renumbered: dict[str, Any] = {}
    for key, part in cast("dict[str, Any]", node).items():
        if key == "__id__" and isinstance(part, int):
            if node.get("__loader__") != "JsonNode":
                renumbered[key] = numbers.setdefault(part, len(numbers) + 1)
        elif key == "file" and isinstance(part, str) and part in files:
            renumbered[key] = names.setdefault(part, f"{len(names) + 1}{part[part.rindex('.') :]}")
        else:
            renumbered[key] = _renumbered(part, numbers, names, files)
    return renumbered
