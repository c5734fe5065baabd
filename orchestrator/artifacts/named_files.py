"""Digests of the files and folders that parameters name.

A file is read again only if its size or its modification time has changed since it was read last.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from hashlib import sha256
from inspect import signature
from pathlib import Path
from time import time_ns
from typing import get_args

from orchestrator.authoring.annotations import element_of, fields_of, hints_of
from orchestrator.authoring.graph import Constant, Element, Gather, Input, Node, item_of
from orchestrator.authoring.parameters import parse_value

#: The digest of a file or folder that does not exist.
ABSENT = "absent"

#: The folder in the home that caches digests.
MEMORY = "file-digests"
#: A file that was written so shortly ago may be written again without a later time.
_FRESH_NS = 2_000_000_000
_CHUNK = 1 << 20
#: More than this is not read while a run is submitted.
QUICK_BYTES = 64_000_000
#: A file that is no larger is read each time: that is quicker than to look up what was read.
_SMALL_BYTES = 64_000
_OF_STATS = "looks:"


def paths_of(node: Node, function: Callable[..., object], indexes: Sequence[int] = ()) -> list[Path]:
    """The files and folders that a node's parameters name at submission; of a map, or of one of its items."""
    hints = hints_of(function)
    given = {**node.inputs, **node.varying}
    found = [path for name, path in _paths_of_defaults(function) if name not in given]
    for name, value in node.inputs.items():
        if not isinstance(value, Element):
            found += _named_by(value, hints.get(name, object))
    through = {name: (value, node.depth) for name, value in node.varying.items()}
    through |= {
        name: (node.each[value.list], value.depth)
        for name, value in node.inputs.items()
        if isinstance(value, Element)
    }
    for name, (value, depth) in through.items():
        item = item_of(value, indexes[depth - 1]) if indexes else value
        hint = hints.get(name, object)
        found += _named_by(item, hint if indexes else list[hint]) if item else ()  # type: ignore[valid-type]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1000)
def _paths_of_defaults(function: Callable[..., object]) -> tuple[tuple[str, Path], ...]:
    """The paths in the defaults of a function's parameters, each with its parameter."""
    parameters = signature(function).parameters.items()
    return tuple((name, path) for name, parameter in parameters for path in paths_in(parameter.default))


def _named_by(value: Input, hint: object) -> Iterator[Path]:
    match value:
        case Constant(constant):
            if _may_hold_path(hint):
                yield from paths_in(parse_value(constant, hint))
        case Gather(items):
            for item in items:
                yield from _named_by(item, element_of(hint))


def paths_in(value: object) -> Iterator[Path]:
    """The paths that a value holds, in lists, mappings and records as well."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from paths_in(each)
    elif isinstance(value, Mapping):
        yield from paths_in([*value.values()])
    elif is_dataclass(value) and not isinstance(value, type):
        yield from paths_in([getattr(value, field.name) for field in fields(value)])
    elif hasattr(type(value), "model_fields"):
        yield from paths_in([*vars(value).values()])


def _may_hold_path(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, os.PathLike):
        return True
    inner = [*get_args(hint), *(fields_of(hint) or {}).values()]
    return any(_may_hold_path(each) for each in inner if each is not hint)


def content_digest(path: Path, memory: Path) -> str:
    """A digest of what a file holds, or a folder with all in it; ABSENT if there is neither.

    What was read is remembered in the folder `memory`, by size and time. Raises OSError.
    """
    place = path.absolute()
    if place.is_file() and (status := place.stat()).st_size <= _SMALL_BYTES:
        return _digest(place, status)
    file = memory / f"{sha256(os.fsencode(place)).hexdigest()[:32]}.json"
    known = _read(file)
    found: dict[str, list[int | str]] = {}
    for name, each, status in _files_in(place):
        look: list[int | str] = [status.st_size, status.st_mtime_ns]
        before = known.get(name)
        found[name] = before if before and before[:2] == look else [*look, _digest(each, status)]
    if not found and not place.is_dir():
        return ABSENT
    if found != known:
        settled = time_ns() - _FRESH_NS
        _write(file, {name: entry for name, entry in found.items() if int(entry[1]) < settled})
    whole = sorted((name, entry[2]) for name, entry in found.items())
    return sha256(json.dumps(whole).encode()).hexdigest()[:32]


def quick_digest(path: Path, memory: Path, most: int = QUICK_BYTES) -> str:
    """The same as `content_digest`, but of sizes and times where the files are too large to read."""
    whole = sum(status.st_size for _, _, status in _files_in(path.absolute()))
    return content_digest(path, memory) if whole <= most else digest_of_stats(path)


def differs(path: Path, before: str, memory: Path) -> bool:
    """Whether a file or folder is not what it was when `quick_digest` gave `before`.

    What was not there then may have been made by the run itself.
    """
    if before == ABSENT:
        return False
    try:
        now = digest_of_stats(path) if before.startswith(_OF_STATS) else content_digest(path, memory)
    except OSError:
        return False  # whether it can be read is for the stage to find out
    return now != before


def digest_of_stats(path: Path) -> str:
    """A digest of the names, sizes and times of a file, or of all in a folder."""
    looks = sorted((name, each.st_size, each.st_mtime_ns) for name, _, each in _files_in(path.absolute()))
    return f"{_OF_STATS}{sha256(json.dumps(looks).encode()).hexdigest()[:32]}"


def _files_in(place: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """A file, or all in a folder, by the name within; links to folders are not followed."""
    if not place.is_dir():
        if os.path.lexists(place):
            yield "", place, _status(place)
        return
    for folder, folders, files in os.walk(place):
        for name in [*files, *(each for each in folders if Path(folder, each).is_symlink())]:
            each = Path(folder, name)
            yield str(each.relative_to(place)), each, _status(each)


def _status(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except FileNotFoundError:  # a link to nowhere
        return file.lstat()


def _digest(file: Path, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return f"link to {file.readlink()}" if file.is_symlink() else "no file"
    digest = sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def _read(file: Path) -> dict[str, list[int | str]]:
    try:
        plain = json.loads(file.read_text())
        return {name: [int(size), int(time), str(digest)] for name, (size, time, digest) in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(file: Path, entries: Mapping[str, list[int | str]]) -> None:
    """Keep it for the next time; where that is not possible, the files are read again then."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(entries))
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
