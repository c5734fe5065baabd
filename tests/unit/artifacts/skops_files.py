"""Files of skops as somebody else may have edited them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any


def edited(data: bytes, edit: Callable[[Any], None]) -> bytes:
    """A skops file whose schema somebody has edited."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    schema = json.loads(source.read("schema.json"))
    edit(schema)
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, json.dumps(schema) if name == "schema.json" else source.read(name))
    return target.getvalue()


def rename(node: Any, module: str, name: str, other: str) -> None:
    """Let what a schema has under one module come from another."""
    if isinstance(node, dict):
        if (node.get("__module__"), node.get("__class__")) == (module, name):
            node["__module__"] = other
        for part in node.values():
            rename(part, module, name, other)
    elif isinstance(node, list):
        for part in node:
            rename(part, module, name, other)
