"""The codec of matplotlib's figures: what lasts of one is its picture."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from orchestrator.artifacts.codec import BlobCodec
from orchestrator.artifacts.errors import NotWritable
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Tree, digest_in
from orchestrator.authoring.logged_files import RESOLUTION


@dataclass(frozen=True, repr=False)
class Picture:
    """A figure as PNG, which is what the store keeps of it; a notebook shows it."""

    png: bytes

    def __repr__(self) -> str:
        return f"<Picture of {len(self.png):,} bytes>"

    def _repr_png_(self) -> str:
        return base64.b64encode(self.png).decode()

    def savefig(self, path: Path, *, format: str = "png") -> None:
        """Write it to a file, as a figure does; raises NotWritable for any other format."""
        if format != "png":
            raise NotWritable(f"a stored figure is a PNG, not {format}", hint="name a file that ends in .png")
        Path(path).write_bytes(self.png)


class _Figure(Protocol):
    def savefig(self, file: io.BytesIO, *, format: str, dpi: int, bbox_inches: str) -> None: ...


class FigureCodec(BlobCodec):
    """A figure, drawn when it is stored; who reads it gets a `Picture`."""

    kind = "figure"

    def __init__(self, label: str, cls: type) -> None:
        super().__init__(label, plain=False, exact=cls)
        self._cls = cls

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if isinstance(value, Picture):
            return {"codec": self.kind, "digest": store.put(value.png)}
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        drawn = io.BytesIO()
        cast("_Figure", value).savefig(drawn, format="png", dpi=RESOLUTION, bbox_inches="tight")
        return {"codec": self.kind, "digest": store.put(drawn.getvalue())}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        return Picture(store.get(digest_in(tree)))
