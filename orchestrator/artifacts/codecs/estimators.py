"""The codec of scikit-learn estimators: skops, which loads only types from an explicit list."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, cast

import skops.io

from orchestrator.artifacts.codec import BlobCodec, described
from orchestrator.artifacts.codecs.skops_files import Named, find_outside
from orchestrator.artifacts.errors import StoreError, WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digest_in


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
    """The skops file of an estimator, if all of it may be loaded again; equal estimators, equal bytes."""
    kind = described(value)
    try:
        data = _repeatable(skops.io.dumps(value))
        Named(data, f"this {kind}")
        outside = find_outside(value)
    except (TypeError, ValueError, AttributeError, NotImplementedError, RecursionError) as error:
        raise WrongValue(
            f"is a {kind} that skops cannot store: {error}",
            hint="Store it in another form: register_codec(YourClass, codec).",
        ) from error
    if outside:
        raise WrongValue(
            f"is a {kind} with {outside}", hint="Reset that parameter (set_params) before it is returned."
        )
    return data


def check_storable(estimator: object) -> None:
    """Raise what storing an estimator would raise, as far as that can be known before it is fitted."""
    dump_estimator(estimator)


def types_in(data: bytes) -> list[str]:
    """What is in a skops file beside that which skops trusts by itself, all of it trusted by us."""
    return Named(data, "this estimator").trusted


def load_estimator(data: bytes, source: str) -> object:
    """The estimator of a skops file, if it holds trusted types only; `source` names it in errors."""
    with translated_parse_errors(
        source,
        "estimator",
        hint="Was it made with other versions of scikit-learn or skops? Then run its stage again.",
    ):
        value = Named(data, source).made()
        outside = find_outside(value)
    if outside:
        raise StoreError(
            f"{source} is refused: it holds {outside}",
            hint="This project stores no such estimator: somebody has altered it. Run its stage again.",
        )
    return value


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
