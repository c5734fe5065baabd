"""Files, folders, and classes with a codec of the user's."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.artifacts import (
    ArtifactStore,
    StoreError,
    WrongKey,
    WrongValue,
    decode,
    encode,
    register_codec,
    unsupported,
    user_codecs,
)
from orchestrator.artifacts.packing import unpack


class Network:
    def __init__(self, weights: bytes) -> None:
        self.weights = weights

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and other.weights == self.weights

    def __hash__(self) -> int:
        return hash(self.weights)


class Deep(Network):
    pass


class NetworkCodec:
    def save(self, value: Network, folder: Path) -> None:
        (folder / "weights.bin").write_bytes(value.weights)

    def load(self, folder: Path) -> Network:
        return Network((folder / "weights.bin").read_bytes())


@pytest.fixture
def _registered() -> Iterator[None]:
    register_codec(Network, NetworkCodec())
    yield
    user_codecs.forget_codec(Network)


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "empty").mkdir(parents=True)
    (folder / "sub").mkdir()
    (folder / "sub" / "data é.txt").write_text("data")
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
    return folder


def test_a_file_comes_back_under_its_name(any_store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "report.csv.gz").write_bytes(b"data")
    tree = encode(tmp_path / "report.csv.gz", Path, any_store)
    (tmp_path / "report.csv.gz").unlink()
    back = decode(tree, Path, any_store)
    assert isinstance(back, Path)
    assert (back.name, back.read_bytes()) == ("report.csv.gz", b"data")
    assert encode(back, Path, any_store) == tree


def test_a_folder_comes_back_with_all_that_is_in_it(any_store: ArtifactStore, tmp_path: Path) -> None:
    tree = encode(folder_of(tmp_path), Path, any_store)
    back = decode(tree, Path, any_store)
    assert isinstance(back, Path)
    assert back.name == "model"
    assert sorted(path.relative_to(back).as_posix() for path in back.rglob("*")) == [
        "empty", "run.sh", "sub", "sub/data é.txt",
    ]  # fmt: skip
    assert (back / "sub" / "data é.txt").read_text() == "data"
    assert (back / "run.sh").stat().st_mode & 0o777 == 0o555
    assert encode(back, Path, any_store) == tree


def test_a_path_to_nothing_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(WrongValue, match="which does not exist"):
        encode(tmp_path / "nothing", Path, store)
    with pytest.raises(WrongValue, match="is str; annotated Path"):
        encode(str(tmp_path), Path, store)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "", "..", "a/b"])
@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_stored_name_cannot_lead_elsewhere(
    name: str, form: str, store: ArtifactStore, tmp_path: Path
) -> None:
    tree = encode(folder_of(tmp_path), Path, store)
    with pytest.raises(WrongKey):
        decode({**tree, "name": name, "form": form}, Path, store)


def packed(*entries: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar as somebody else may have made it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(content.ljust(entry.size)))
    return data.getvalue()


def entry(name: str, **others: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for attribute, value in others.items():
        setattr(made, attribute, value)
    return made


def unpacked(data: bytes, store: ArtifactStore) -> object:
    return decode({"codec": "path", "form": "folder", "name": "x", "digest": store.put(data)}, Path, store)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "'link', which is neither a file"),
        ([entry("link", type=tarfile.LNKTYPE, linkname="/etc/passwd")], "'link', which is neither a file"),
        ([entry("device", type=tarfile.CHRTYPE)], "'device', which is neither a file"),
        ([entry("../evil")], "leads out of it"),
        ([entry("a/../../evil")], "leads out of it"),
        ([entry("/evil")], "leads out of it"),
        ([entry("a"), entry("./a")], "twice"),
        ([entry("a"), entry("a/b")], "both as a file and as a folder"),
        ([entry("a/" * 2000 + "a")], "nested more than"),
    ],
)
def test_a_stored_folder_is_judged_before_anything_is_written(
    entries: list[tarfile.TarInfo], message: str, tmp_path: Path
) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(packed(entry("first"), *entries))
    with pytest.raises(StoreError, match=message):
        unpack(blob, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [blob]


def test_a_stored_folder_sets_no_modes_elsewhere(store: ArtifactStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch(0o600)
    with pytest.raises(StoreError, match="leads out of it"):
        unpacked(packed(entry(str(victim), mode=0o777)), store)
    assert victim.stat().st_mode & 0o777 == 0o600


def test_a_stored_folder_brings_no_special_modes(store: ArtifactStore) -> None:
    back = unpacked(packed(entry("a", mode=0o6755), entry("b", mode=0o666)), store)
    assert isinstance(back, Path)
    assert [oct((back / name).stat().st_mode & 0o7777) for name in "ab"] == ["0o555", "0o444"]


@pytest.mark.parametrize("cut", [100, 600, 1500])
def test_a_stored_folder_that_is_damaged_is_one_clear_error(cut: int, store: ArtifactStore) -> None:
    data = packed(entry("a", size=2000), entry("b"))
    for damaged in (data[:cut], b"x" * cut + data[cut:]):
        with pytest.raises(StoreError):
            unpacked(damaged, store)


@pytest.mark.usefixtures("_registered")
def test_a_class_with_a_registered_codec_comes_back(any_store: ArtifactStore) -> None:
    value = {"a": [Network(b"1"), Network(b"2")]}
    hint = dict[str, list[Network]]
    tree = encode(value, hint, any_store)
    assert decode(tree, hint, any_store) == value
    assert encode(value, hint, any_store) == tree


@pytest.mark.usefixtures("_registered")
def test_a_codec_that_gives_back_another_class_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="is Network; annotated Deep"):
        decode(encode(Deep(b"1"), Deep, store), Deep, store)
    with pytest.raises(WrongValue, match="is int; annotated Network"):
        encode(3, Network, store)


def test_a_class_is_storable_once_its_codec_is_registered() -> None:
    assert "register_codec(Network, codec)" in str(unsupported(list[Network]))
    register_codec(Network, NetworkCodec())
    try:
        assert unsupported(list[Network]) is None
    finally:
        user_codecs.forget_codec(Network)
    assert unsupported(list[Network]) is not None
