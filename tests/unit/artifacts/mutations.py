"""Decodes damaged blobs in a process of its own: `python mutations.py KIND,KIND SEED COUNT`.

Prints what is neither a value nor one of our errors, and ends by a signal where a library crashes.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import io
import json
import random
import resource
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from orchestrator.artifacts import ArtifactError, ArtifactStore, Tree, decode, encode
from orchestrator.artifacts.codecs import columns
from orchestrator.artifacts.tree import digest_in

#: Nothing here needs as much; a blob that unpacks to more is to end in an error.
MEMORY = 6 * 1024**3

#: Numbers that lengths, offsets and indexes like least.
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]

TEXT: dict[str, Any] = {"schema": {"deep": [1, 2.5, None, True, "text" * 9_000]}, "list": list(range(9_000))}
FRAME = pd.DataFrame(
    {
        "number": np.arange(50.0),
        "text": ["some", None, "words"] * 16 + ["more", "text"],
        "category": pd.Categorical(["a", "b"] * 25),
        "time": pd.date_range("2024", periods=50, tz="Europe/Berlin"),
        "interval": pd.cut(np.arange(50), [0, 10, 100]),
    }
)
TABLE = pa.table(
    {"words": pa.array(["a", "b", None] * 9).dictionary_encode(), "lists": [[1, 2], None, []] * 9}
)
X, Y = np.arange(60.0).reshape(30, 2), np.arange(30) % 2
MODELS = [
    make_pipeline(StandardScaler(), LogisticRegression()),
    DecisionTreeClassifier(),
    KNeighborsClassifier(algorithm="kd_tree"),
]


@dataclass(frozen=True)
class Kind:
    """What is decoded, and what is done with what comes of it."""

    hint: object
    values: list[Any]
    use: Callable[[Any], object] = repr


def kinds(folder: Path) -> dict[str, Kind]:
    """All codecs that have blobs."""
    (folder / "model" / "sub").mkdir(parents=True)
    (folder / "model" / "sub" / "weights").write_bytes(bytes(range(256)) * 9)
    (folder / "model" / "run.sh").write_text("#!/bin/sh")
    matrices = [getattr(sparse, f"{form}_array")(np.eye(9)) for form in ("csr", "csc", "coo", "bsr", "dia")]
    return {
        "json": Kind(dict[str, Any], [TEXT]),
        "array": Kind(np.ndarray, [np.arange(60.0).reshape(6, 10), np.array([(1, "a")], "i4,U3")], repr),
        "sparse": Kind(sparse.sparray, matrices, lambda value: (value @ np.ones(value.shape[1])).sum()),
        "frame": Kind(pd.DataFrame, [FRAME], lambda value: (repr(value), value.memory_usage(deep=True))),
        "columns": Kind(pd.DataFrame, [FRAME], lambda value: (repr(value), value.memory_usage(deep=True))),
        "series": Kind(pd.Series, [FRAME["text"], FRAME["category"]], repr),
        "arrow": Kind(pa.Table, [TABLE], lambda value: value.to_pylist()),
        "estimator": Kind(BaseEstimator, [model.fit(X, Y) for model in MODELS], repr),
        "path": Kind(Path, [folder / "model"], lambda value: [path.stat() for path in value.rglob("*")]),
    }


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bytes after one to three accidents."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) or 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + chance.randint(1, 64)]
            case 3:
                start = chance.randrange(len(data))
                changed[at : at + chance.randint(0, 64)] = data[start : start + chance.randint(1, 64)]
            case 4:
                width = chance.choice([1, 4, 8])
                extreme = chance.choice(EXTREMES) % 256**width
                changed[at : at + width] = extreme.to_bytes(width, "little")
            case _:
                changed[at : at + chance.randint(1, 64)] = chance.randbytes(chance.randint(1, 64))
    return bytes(changed)


def within(kind: str, data: bytes, chance: random.Random) -> bytes:
    """The damage behind checksums and compression, where a person with intent would put it."""
    if kind in ("sparse", "estimator"):
        source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
        victim = chance.choice(source.namelist())
        with zipfile.ZipFile(target, "w") as archive:
            for name in source.namelist():
                content = source.read(name)
                archive.writestr(name, damaged(content, chance) if name == victim else content)
        return target.getvalue()
    if kind in ("frame", "series", "arrow"):
        table = pq.read_table(io.BytesIO(data))
        shell = base64.b64decode(table.schema.metadata[b"orchestrator.shell"])
        metadata = {b"orchestrator.shell": base64.b64encode(damaged(shell, chance))}
        target = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), target)
        return target.getvalue()
    return damaged(data, chance)


def trees(tree: Any, chance: random.Random) -> Any:
    """A tree of which somebody has changed one entry."""
    changed = json.loads(json.dumps(tree))
    name = chance.choice(list(changed))
    changed[name] = chance.choice(
        [None, 5, "", [], {}, "sha256:0", "../x", "union", "list", {"codec": "json"}]
    )
    if chance.random() < 0.3:
        del changed[name]
    return changed


def cases(kind: str, found: Kind, store: ArtifactStore, seed: int, count: int) -> Iterator[Tree]:
    """Damaged trees of one kind."""
    chance = random.Random(f"{kind}{seed}")
    columns.COLUMN_BYTES = 0 if kind == "columns" else 1 << 40  # type: ignore[misc]
    originals = [encode(value, found.hint, store) for value in found.values]
    for tree in originals:
        found.use(decode(tree, found.hint, store))
    for _ in range(count):
        tree = chance.choice(originals)
        if chance.random() < 0.05:
            yield trees(tree, chance)
            continue
        if kind == "columns":
            yield with_damaged_part(tree, chance, store)
            continue
        data = store.get(digest_in(tree))
        data = within(kind, data, chance) if chance.random() < 0.5 else damaged(data, chance)
        yield {**tree, "digest": store.put(data)}


def with_damaged_part(tree: Any, chance: random.Random, store: ArtifactStore) -> Tree:
    """A table whose schema or one of whose columns was damaged, or took the place of another."""
    parts = [dict(part) for part in tree["parts"]]
    part = chance.choice(parts)
    if "base64" in part:
        part["base64"] = base64.b64encode(damaged(base64.b64decode(part["base64"]), chance)).decode()
    elif chance.random() < 0.1:
        part.update(chance.choice(parts[1:]))
    else:
        part["digest"] = store.put(damaged(store.get(digest_in(part)), chance))
    return {**tree, "parts": parts}


def main(names: list[str], seed: int, count: int) -> None:
    """Decode `count` damaged blobs of each kind."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    store = ArtifactStore("memory://")
    with tempfile.TemporaryDirectory() as folder:
        known = kinds(Path(folder))
        for name in names:
            refused = 0
            for number, tree in enumerate(cases(name, known[name], store, seed, count)):
                refused += judge(f"{name} {seed} {number}", tree, known[name], store)
                if number % 100 == 0:
                    store.trim(0)
            print(f"{name}: refused {refused} of {count}")


def judge(case: str, tree: Tree, kind: Kind, store: ArtifactStore) -> bool:
    """Whether a damaged blob is refused by one of our errors; any other error is printed."""
    try:
        value = decode(tree, kind.hint, store)
    except ArtifactError:
        return True
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        print(f"{case}: {type(error).__name__}: {error}"[:300])
        return False
    with contextlib.suppress(Exception):  # what was read may be odd; it may not crash
        kind.use(value)
    return False


if __name__ == "__main__":
    main(sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3]))
