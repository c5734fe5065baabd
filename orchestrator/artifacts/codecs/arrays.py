"""Codecs of NumPy's arrays and scalars and of SciPy's sparse matrices, in NumPy's formats, without pickle."""

from __future__ import annotations

from typing import Any, cast, get_args, get_origin

import numpy as np
import numpy.typing as npt

from orchestrator.artifacts.codec import BlobCodec, Codec, described
from orchestrator.artifacts.codecs.scalars import SCALARS
from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Json, Tree, digest_in


class ArrayCodec(BlobCodec):
    """An array as `.npy`; it comes back memory-mapped and read-only (copy it to change it)."""

    kind = "array"

    def __init__(self, label: str, scalar: type[np.generic] | None) -> None:
        super().__init__(label, plain=False, exact=np.ndarray)
        self._scalar = scalar

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if type(value) not in (np.ndarray, np.memmap):
            raise self.wrong(value)
        array = self._checked(cast("npt.NDArray[Any]", value))
        with store.spool() as file:
            try:
                np.save(file, array, allow_pickle=False)
            except ValueError as error:
                raise WrongValue(
                    f"is an array of {array.dtype}, which NumPy cannot store without pickle"
                ) from error
            return {"codec": self.kind, "digest": store.put(file)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        path = store.local_path(digest_in(tree))
        with translated_parse_errors(f"artifact {digest_in(tree)}", "array"):
            array = np.lib.format.open_memmap(path, mode="r").view(np.ndarray)
        return self._checked(array)

    def _checked(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if array.dtype.hasobject:
            raise WrongValue(
                f"is an array of {array.dtype} (Python objects), which cannot be stored without pickle",
                hint="Convert it first, for example array.astype(float) or array.astype(str).",
            )
        if self._scalar is not None and not np.issubdtype(array.dtype, self._scalar):
            raise WrongValue(f"is an array of {array.dtype}; annotated {self.label}")
        return array


class NumpyScalarCodec(Codec):
    """A NumPy scalar that is a bool, a number or a text in JSON."""

    def __init__(self, cls: type[np.generic], spelling: Codec) -> None:
        super().__init__(cls.__name__, plain=True, exact=cls)
        self._cls, self._spelling = cls, spelling

    def to_json(self, value: object) -> Json:
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        return self._spelling.to_json(value)

    def from_json(self, value: Json) -> object:
        return cast("Any", self._cls)(self._spelling.from_json(value))

    def fits(self, value: Json) -> bool:
        return self._spelling.fits(value)


class SparseCodec(BlobCodec):
    """A sparse matrix or array of SciPy as `.npz`."""

    kind = "sparse"

    def __init__(self, label: str, cls: type) -> None:
        super().__init__(label, plain=False, exact=cls)
        self._cls = cls

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        from scipy import sparse

        if not isinstance(value, self._cls):
            raise self.wrong(value)
        if cast("Any", value).dtype.hasobject:
            raise WrongValue(
                f"is a {described(value)} of Python objects, which cannot be stored without pickle"
            )
        with store.spool() as file:
            try:
                sparse.save_npz(file, value)
            except NotImplementedError as error:
                raise WrongValue(
                    f"is a {described(value)}, a format for building that cannot be stored",
                    hint="Convert it with .tocsr() or .tocsc().",
                ) from error
            return {"codec": self.kind, "digest": store.put(file)}

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        from scipy import sparse

        path = store.local_path(digest_in(tree))
        with translated_parse_errors(f"artifact {digest_in(tree)}", "sparse matrix"), path.open("rb") as file:
            value: object = sparse.load_npz(file)
            check_indices(value)
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        return value


def check_indices(matrix: object) -> None:
    """Raise ValueError if a sparse matrix points beyond its shape: SciPy's loops in C would follow."""
    check = getattr(matrix, "check_format", None)  # COO and DIA are checked when they are made
    if check is None:
        return
    check(full_check=True)
    # SciPy takes the last pointer for the number of values, and looks no further where it is 0.
    pointers: npt.NDArray[Any] = cast("Any", matrix).indptr
    if pointers.dtype.kind != "i" or pointers[0] != 0 or (pointers[1:] < pointers[:-1]).any():
        raise ValueError("its row pointers do not rise from 0")


def scalar_of(hint: object) -> type[np.generic] | None:
    """The scalar type in `NDArray[np.float64]` (also an abstract one), None where nothing is said."""
    args = get_args(hint)
    kinds = get_args(args[1]) if len(args) == 2 else ()
    kind = (get_origin(kinds[0]) or kinds[0]) if kinds else None
    return kind if isinstance(kind, type) else None


def numpy_scalar_codec(cls: type[np.generic]) -> Codec | None:
    """The codec of a NumPy scalar, None for one that JSON cannot write exactly."""
    if issubclass(cls, np.bool_):
        return NumpyScalarCodec(cls, SCALARS[bool])
    if issubclass(cls, (np.signedinteger, np.unsignedinteger)) and cls.__name__ != "timedelta64":
        return NumpyScalarCodec(cls, SCALARS[int])
    if issubclass(cls, np.floating) and cls is not np.longdouble:
        return NumpyScalarCodec(cls, SCALARS[float])
    return NumpyScalarCodec(cls, SCALARS[str]) if issubclass(cls, np.str_) else None
