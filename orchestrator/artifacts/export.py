"""Values as files, as text and as JSON: each kind in the forms in which people use it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, cast

from orchestrator.artifacts.codecs.figures import Picture
from orchestrator.artifacts.errors import NotWritable
from orchestrator.authoring.graph import JSON
from orchestrator.authoring.logged_files import put_back_floats

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


class _Figure(Protocol):
    """A figure of matplotlib, or one that saves itself like it."""

    def savefig(self, path: Path, *, format: str) -> None: ...


#: Rows of a table that the terminal shows.
ROWS = 20


def as_text(value: object, whose: str) -> str:
    """What the terminal shows: text as it is, a table's first rows, JSON for everything plain."""
    if isinstance(value, str):
        return value
    if (frame := _as_frame(value)) is not None:
        more = f"\n[{len(frame):,} rows × {len(frame.columns)} columns]" if len(frame) > ROWS else ""
        return f"{frame.head(ROWS).to_string()}{more}"
    if isinstance(value, Path):
        return f"{value.name}, a {_kind_of(value)}: write it with -o FILE"
    if _is_figure(value):
        return f"{value!r}: write it with -o FILE"
    try:
        return json.dumps(as_json(value, whose), indent=1, ensure_ascii=False)
    except NotWritable:
        if (parts := _parts(value)) is None:
            return repr(value)
    return "\n".join(f"{name}: {as_text(part, whose)}" for name, part in parts.items())


def write_output(value: object, file: Path, whose: str) -> Path:
    """Write a value to a file, whole or not at all, in the form that the file's name asks for.

    Returns where it is: a folder's or a file's own name is kept in a folder that exists. Raises NotWritable.
    """
    if not file.parent.is_dir():
        raise NotWritable(f"there is no folder {file.parent}", hint="make it, or name another file")
    if isinstance(value, Path):
        return _copy(value, file / value.name if file.is_dir() else file)
    if file.is_dir():
        raise NotWritable(f"{file} is a folder", hint=f"name a file in it: {file / 'output.parquet'}")
    suffix = file.suffix.lower()
    write = _writer(value, suffix, whose)
    try:
        with _whole(file) as path:
            write(path)
    except OSError as error:
        raise NotWritable(f"{file} cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # text that UTF-8 cannot write, a table that the form does not know
        raise NotWritable(f"{whose} cannot be written to {file}: {error}") from error
    return file


def _writer(value: object, suffix: str, whose: str) -> Callable[[Path], object]:
    frame = _as_frame(value)
    if frame is not None:
        writers: Mapping[str, Callable[[Path], object]] = {
            ".parquet": lambda path: frame.to_parquet(path),
            ".csv": lambda path: frame.to_csv(path, index=_has_labels(frame)),
            ".json": lambda path: _write_json(as_json(value, whose), path),
        }
        return _chosen(writers, suffix, "a table", whose)
    if _is_estimator(value):
        from orchestrator.artifacts.codecs.estimators import dump_estimator

        skops = {".skops": lambda path: path.write_bytes(dump_estimator(value))}
        return _chosen({**skops, "": skops[".skops"]}, suffix, "a model", whose)
    if _is_figure(value):
        draw = cast("_Figure", value).savefig
        forms = (".png",) if isinstance(value, Picture) else (".png", ".svg", ".pdf")
        return _chosen(
            {each: lambda path: draw(path, format=suffix[1:]) for each in forms},
            suffix,
            "a figure",
            whose,
        )
    if isinstance(value, bytes):
        return lambda path: path.write_bytes(value)
    if _is_array(value) and suffix == ".npy":
        import numpy as np

        return lambda path: np.save(path, value, allow_pickle=False)
    if isinstance(value, str) and suffix != ".json":
        return lambda path: path.write_text(value, encoding="utf-8")
    if suffix not in (".json", ".txt", ""):
        raise _no_form(suffix, "plain JSON", [".json", ".txt"], whose)
    plain = as_json(value, whose)
    return lambda path: _write_json(plain, path)


def _write_json(plain: JSON, path: Path) -> None:
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _chosen(
    writers: Mapping[str, Callable[[Path], object]], suffix: str, kind: str, whose: str
) -> Callable[[Path], object]:
    if suffix not in writers:
        raise _no_form(suffix, kind, [each for each in writers if each], whose)
    return writers[suffix]


def _no_form(suffix: str, kind: str, known: list[str], whose: str) -> NotWritable:
    return NotWritable(
        f"{whose} is {kind}, which has no form {suffix or 'without a suffix'}",
        hint=f"name a file that ends in {' or '.join(known)}",
    )


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A temporary file beside it, which takes its place when the block succeeds.

    What a link leads to is replaced, not the link; a device or a pipe is written to.
    """
    if file.exists() and not file.is_file():
        with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
            yield (path := Path(folder) / "output")
            with path.open("rb") as written, file.open("wb") as opened:
                shutil.copyfileobj(written, opened)
        return
    file = file.resolve()
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(prefix=f".{file.stem}-", suffix=file.suffix, dir=file.parent)
    os.close(handle)
    path = Path(name)
    try:
        yield path
        path.chmod(mode)
        path.replace(file)
    finally:
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _copy(source: Path, target: Path) -> Path:
    """A file or a folder of the store, writable where it comes to; raises NotWritable."""
    if target.exists() and (source.is_dir() or target.is_dir()):
        raise NotWritable(f"{target} exists", hint="name another place, or remove it")
    try:
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copyfile)
        else:
            with _whole(target) as path:
                shutil.copyfile(source, path)
    except OSError as error:
        raise NotWritable(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def as_json(value: object, whose: str) -> JSON:
    """A value as JSON: tables as lists of rows, arrays as lists, records as objects, NaN as null.

    Raises NotWritable for what has no such form.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
    if (frame := _as_frame(value)) is not None:
        return _rows(frame, whose)
    if isinstance(value, Path) or _is_figure(value):
        raise _no_json(value, whose)
    if _is_array(value):
        times = value.dtype.kind in "mM"  # of which a list holds nanoseconds
        return as_json((value.astype(str) if times else value).tolist(), whose)
    if (parts := _parts(value)) is not None:
        return {name: as_json(each, f"{name} of {whose}") for name, each in parts.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(each, whose) for each in value]
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return as_json(to_jsonable_python(value), whose)
    except (PydanticSerializationError, ValueError, TypeError):
        raise _no_json(value, whose) from None


def _no_json(value: object, whose: str) -> NotWritable:
    kind = _kind_of(value) if isinstance(value, Path) else type(value).__name__
    return NotWritable(f"{whose} is a {kind}, which has no form in JSON", hint="write it to a file: -o FILE")


def _kind_of(path: Path) -> str:
    return "folder" if path.is_dir() else f"file of {path.stat().st_size:,} bytes"


def _rows(frame: pd.DataFrame, whose: str) -> JSON:
    """A table as a list of rows, with its labels where it has any."""
    table = frame.reset_index() if _has_labels(frame) else frame
    try:
        rows: list[dict[str, object]] = json.loads(table.to_json(orient="records", date_format="iso"))
    except ValueError as error:  # such as two columns of one name
        raise NotWritable(
            f"{whose} has no form in JSON: {error}", hint="write it as .csv or .parquet"
        ) from None
    cells = [list(row.values()) for row in rows]
    put_back_floats(table, cells)
    return cast(
        "JSON", [dict(zip(row, values, strict=True)) for row, values in zip(rows, cells, strict=True)]
    )


def _as_frame(value: object) -> pd.DataFrame | None:
    """A table of pandas or pyarrow as a DataFrame; None for anything else."""
    match _type_name(value):
        case "pandas.DataFrame":
            return cast("pd.DataFrame", value)
        case "pandas.Series":
            return cast("pd.Series[float]", value).to_frame()
        case "pyarrow.Table":
            return cast("pd.DataFrame", cast("pa.Table", value).to_pandas())
    return None


def _type_name(value: object) -> str:
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"


def _has_labels(frame: pd.DataFrame) -> bool:
    """Whether its rows have labels that say something: not only numbers without a name."""
    from pandas.api.types import is_integer_dtype

    index = frame.index
    return any(name is not None for name in index.names) or not is_integer_dtype(index.dtype)


def _is_estimator(value: object) -> bool:
    return hasattr(value, "get_params") and hasattr(value, "fit")


def _is_figure(value: object) -> bool:
    return hasattr(value, "savefig")


def _is_array(value: object) -> TypeGuard[Array]:
    return _type_name(value) == "numpy.ndarray"


def _parts(value: object) -> dict[str, object] | None:
    """The values of a mapping or a record by name; None for anything else."""
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    named_tuple = isinstance(value, tuple) and hasattr(value, "_fields")
    if not named_tuple and (not dataclasses.is_dataclass(value) or isinstance(value, type)):
        return None
    from orchestrator.authoring.annotations import fields_of

    return {name: getattr(value, name) for name in fields_of(type(value)) or ()}
