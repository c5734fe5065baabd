"""Arrays, NumPy scalars and sparse matrices."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from scipy import sparse

from orchestrator.artifacts import ArtifactStore, StoreError, WrongValue, decode, encode, inline, unsupported

DTYPES = npst.scalar_dtypes() | npst.unicode_string_dtypes() | npst.byte_string_dtypes()


def test_any_array_comes_back_the_same() -> None:
    store = ArtifactStore("memory://")

    @settings(max_examples=80, deadline=None)
    @given(npst.arrays(DTYPES, npst.array_shapes(min_dims=0, min_side=0)))
    def check(array: npt.NDArray[Any]) -> None:
        back = decode(encode(array, np.ndarray, store), np.ndarray, store)
        assert type(back) is np.ndarray
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)

    check()


def test_an_array_comes_back_memory_mapped_and_read_only(store: ArtifactStore) -> None:
    back = decode(encode(np.arange(10), np.ndarray, store), np.ndarray, store)
    assert isinstance(back, np.ndarray)
    assert isinstance(back.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_a_returned_array_can_be_stored_again_under_the_same_digest(store: ArtifactStore) -> None:
    tree = encode(np.arange(10), np.ndarray, store)
    assert encode(decode(tree, np.ndarray, store), np.ndarray, store) == tree
    assert encode(np.load(store.local_path(tree["digest"]), mmap_mode="r"), np.ndarray, store) == tree  # type: ignore[arg-type]


def test_structured_and_strided_arrays_come_back(store: ArtifactStore) -> None:
    for array in (
        np.array([(1, "a")], dtype=[("n", "i4"), ("s", "U3")]),
        np.arange(20).reshape(4, 5)[::2, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ):
        np.testing.assert_array_equal(decode(encode(array, np.ndarray, store), np.ndarray, store), array)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (
            np.array([{}, None]),
            np.ndarray,
            "array of object (Python objects), which cannot be stored without pickle",
        ),
        (
            np.array([(1, {})], dtype=[("a", int), ("b", object)]),
            np.ndarray,
            "cannot be stored without pickle",
        ),
        (np.arange(3), npt.NDArray[np.floating[Any]], "is an array of int64; annotated ndarray["),
        (np.ma.masked_array([1, 2], [True, False]), np.ndarray, "is MaskedArray; annotated ndarray"),
        ([1, 2], np.ndarray, "is list; annotated ndarray"),
        (np.float64(1), np.ndarray, "is float64; annotated ndarray"),
        (1.0, np.float64, "is float; annotated float64"),
        (sparse.lil_array((2, 2)), sparse.lil_array, "a format for building that cannot be stored"),
        (np.eye(2), sparse.csr_array, "is ndarray; annotated csr_array"),
    ],
)
def test_what_cannot_be_stored_is_named(
    value: object, hint: object, message: str, store: ArtifactStore
) -> None:
    with pytest.raises(WrongValue) as caught:
        encode(value, hint, store)
    assert message in str(caught.value)


def test_a_pickle_in_place_of_an_array_never_runs(store: ArtifactStore) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    for data in (file.getvalue(), b"\x80\x04K\x01.", b""):
        with pytest.raises(StoreError, match="is no array that can be read"):
            decode({"codec": "array", "digest": store.put(data)}, np.ndarray, store)


@pytest.mark.parametrize(
    "value",
    [np.float32(0.1), np.float64("nan"), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.str_("a")],
)
def test_a_numpy_scalar_comes_back_as_one_and_is_plain_json(value: np.generic, store: ArtifactStore) -> None:
    tree = encode(value, type(value), store)
    back = decode(tree, type(value), store)
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)
    assert inline(tree) == ("NaN" if value != value else value.item())


@pytest.mark.parametrize("hint", [np.complex128, np.datetime64, np.timedelta64, np.longdouble, np.void])
def test_scalars_that_json_cannot_write_are_refused(hint: object) -> None:
    assert unsupported(hint) is not None


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_a_sparse_matrix_comes_back_the_same(form: str, kind: str, store: ArtifactStore) -> None:
    cls = getattr(sparse, f"{form}_{kind}")
    matrix = cls(np.array([[0, 1.5], [0, 0]]))
    tree = encode(matrix, cls, store)
    back: Any = decode(tree, cls, store)
    assert type(back) is cls
    np.testing.assert_array_equal(back.toarray(), matrix.toarray())
    assert encode(cls(np.array([[0, 1.5], [0, 0]])), cls, store) == tree


def test_a_blob_that_is_no_sparse_matrix_is_one_clear_error(store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match="is no sparse matrix that can be read"):
        decode({"codec": "sparse", "digest": store.put(b"nothing")}, sparse.csr_array, store)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo"])
def test_a_sparse_matrix_that_points_beyond_its_shape_is_refused(form: str, store: ArtifactStore) -> None:
    cls = getattr(sparse, f"{form}_matrix")
    matrix = cls(np.eye(4))
    if form == "coo":
        matrix.coords[0][-1] = 1_000_000
    else:
        matrix.indices[-1] = 1_000_000
    file = io.BytesIO()
    sparse.save_npz(file, matrix)
    with pytest.raises(StoreError, match="is no sparse matrix that can be read"):
        decode({"codec": "sparse", "digest": store.put(file.getvalue())}, cls, store)


@pytest.mark.parametrize("data", [b"PK\x03\x04nothing", b"PK\x05\x06" + bytes(18), b""])
def test_an_archive_that_is_damaged_is_one_clear_error(data: bytes, store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match="is no sparse matrix that can be read"):
        decode({"codec": "sparse", "digest": store.put(data)}, sparse.csr_array, store)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_a_sparse_matrix_that_claims_to_be_empty_is_looked_at_all_the_same(
    form: str, store: ArtifactStore
) -> None:
    cls = getattr(sparse, f"{form}_matrix")
    matrix = cls(np.eye(4))
    matrix.indptr[1], matrix.indptr[-1] = 1_000_000, 0
    file = io.BytesIO()
    sparse.save_npz(file, matrix)
    with pytest.raises(StoreError, match="is no sparse matrix that can be read"):
        decode({"codec": "sparse", "digest": store.put(file.getvalue())}, cls, store)
