"""Small values cost next to nothing: no heavy import, and no store."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys, typing
from dataclasses import dataclass
import orchestrator
before = set(sys.modules)
from orchestrator.artifacts import ArtifactStore, encode, decode, digest_of, inline, unsupported

@dataclass(frozen=True)
class Report:
    auc: float
    notes: list[str]

store = ArtifactStore("memory://")
values = [(None, None), (3, int), ("a", str), ({"a": 1.5}, dict[str, float]), (Report(0.5, ["x"]), Report),
          ([Report(0.5, [])], list[Report] | None), ({"a": [1]}, dict[str, typing.Any]), (b"x", bytes)]
for value, hint in values:
    assert unsupported(hint) is None
    tree = encode(value, hint, store)
    assert decode(tree, hint, store) == value
    digest_of(tree), inline(tree)
heavy = ("numpy", "pandas", "pyarrow", "scipy", "sklearn", "skops", "pydantic", "pydantic_settings", "mlflow")
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in heavy))
print(list(store.keys()), store._copies._scratch._folder)
"""


def test_small_values_import_nothing_heavy_and_write_nothing() -> None:
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True).splitlines() == ["[]", "[] None"]
