"""Codecs of bytes, of files and folders, and of values whose class has a codec of the user's."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from orchestrator.artifacts.codec import BlobCodec
from orchestrator.artifacts.errors import StoreError, WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.scratch import temporary_folder
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import INLINE_LIMIT, Tree, digest_in
from orchestrator.artifacts.user_codecs import UserCodec


class BytesCodec(BlobCodec):
    kind = "bytes"

    def __init__(self) -> None:
        super().__init__("bytes", plain=False, exact=bytes)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if not isinstance(value, bytes):
            raise self.wrong(value)
        if len(value) * 4 / 3 <= INLINE_LIMIT:
            return {"codec": self.kind, "base64": base64.b64encode(value).decode()}
        return {"codec": self.kind, "digest": store.put(bytes(value))}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        if "base64" not in tree:
            return store.get(digest_in(tree))
        try:
            return base64.b64decode(str(tree["base64"]), validate=True)
        except binascii.Error as error:
            raise StoreError("stored bytes are not valid base64: their manifest was altered") from error


class PathCodec(BlobCodec):
    """A file or a folder, by its contents and its name; it is read-only where it comes back."""

    kind = "path"

    def __init__(self) -> None:
        super().__init__("Path", plain=False, exact=type(Path()))

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if not isinstance(value, Path):
            raise self.wrong(value)
        if not value.exists():
            raise WrongValue(
                f"is the path {value}, which does not exist", hint="Write the file before returning it."
            )
        name = value.name or value.absolute().resolve().name
        if value.is_dir():
            return {"codec": self.kind, "form": "folder", "name": name, "digest": store.put(value)}
        if not value.is_file():
            raise WrongValue(f"is the path {value}, which is neither a file nor a folder")
        return {"codec": self.kind, "form": "file", "name": name, "digest": store.put(value)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        fetch = store.folder if tree.get("form") == "folder" else store.file
        return fetch(digest_in(tree), str(tree.get("name")))


class CustomCodec(BlobCodec):
    """A class that the user registered a codec for: the folder that the codec wrote."""

    kind = "custom"

    def __init__(self, label: str, cls: type, codec: UserCodec) -> None:
        super().__init__(label, plain=False, exact=cls)
        self._cls, self._codec = cls, codec

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        with temporary_folder() as own:
            (folder := own / "value").mkdir()
            self._codec.save(value, folder)
            return {"codec": self.kind, "type": self.label, "digest": store.put(folder)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        folder = store.folder(digest_in(tree), "value")
        with translated_parse_errors(f"artifact {digest_in(tree)}", self.label):
            value = self._codec.load(folder)
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        return value
