"""Decodes values without their annotation: what the tree itself says, for readers who lack a stage's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from orchestrator.artifacts.codec import Codec, load_json
from orchestrator.artifacts.errors import NoSuchPart, UnsupportedType
from orchestrator.artifacts.tree import Tree, codec_name, untagged

if TYPE_CHECKING:
    from orchestrator.artifacts.store import ArtifactStore


def decode_as_stored(tree: Tree, store: ArtifactStore, path: Sequence[str | int] = ()) -> object:
    """The value of a tree, or of the part that `path` leads to: records as dicts, tuples as lists.

    Estimators are loaded with types that are trusted without the user's own. Raises UnsupportedType for a
    value of a codec of the user's, NoSuchPart.
    """
    for key in path:
        tree = _part(tree, key, store)
    tree = untagged(tree)
    match tree:
        case {"codec": "json"}:
            return load_json(tree, store)
        case {"codec": "list", "parts": list(items)}:
            return [decode_as_stored(cast("Tree", item), store) for item in items]
        case {"codec": "object", "parts": dict(fields)}:
            return {name: decode_as_stored(cast("Tree", field), store) for name, field in fields.items()}
    kind = codec_name(tree)
    if kind not in _CODECS:
        raise UnsupportedType(
            f"a value stored as {kind!r} cannot be read without its stage's code",
            hint="Read it where the pipeline's module can be imported: see ORCHESTRATOR_PIPELINES.",
        )
    return _CODECS[kind]().decode(tree, store)


def _part(tree: Tree, key: str | int, store: ArtifactStore) -> Tree:
    tree = untagged(tree)
    parts = load_json(tree, store) if tree["codec"] == "json" else tree.get("parts")
    found = None
    if isinstance(parts, list) and isinstance(key, int) and 0 <= key < len(parts):
        found = parts[key]
    elif isinstance(parts, dict) and key in parts:
        found = parts[str(key)]
    else:
        raise NoSuchPart(f"there is no part {key!r} in a value stored as {codec_name(tree)!r}")
    return {"codec": "json", "value": found} if tree["codec"] == "json" else cast("Tree", found)


def _frame() -> Codec:
    from orchestrator.artifacts.codecs.frames import FrameCodec

    return FrameCodec()


def _series() -> Codec:
    from orchestrator.artifacts.codecs.frames import SeriesCodec

    return SeriesCodec()


def _table() -> Codec:
    from orchestrator.artifacts.codecs.tables import TableCodec

    return TableCodec()


def _array() -> Codec:
    from orchestrator.artifacts.codecs.arrays import ArrayCodec

    return ArrayCodec("ndarray", None)


def _estimator() -> Codec:
    from sklearn.base import BaseEstimator

    from orchestrator.artifacts.codecs.estimators import EstimatorCodec

    return EstimatorCodec("BaseEstimator", BaseEstimator)


def _figure() -> Codec:
    from orchestrator.artifacts.codecs.figures import FigureCodec, Picture

    return FigureCodec("Figure", Picture)


def _bytes() -> Codec:
    from orchestrator.artifacts.codecs.files import BytesCodec

    return BytesCodec()


def _path() -> Codec:
    from orchestrator.artifacts.codecs.files import PathCodec

    return PathCodec()


#: The codecs that need no annotation, by their names in trees; their libraries load when they are called.
_CODECS: Mapping[str, Callable[[], Codec]] = {
    "frame": _frame,
    "series": _series,
    "arrow": _table,
    "array": _array,
    "estimator": _estimator,
    "figure": _figure,
    "bytes": _bytes,
    "path": _path,
}
