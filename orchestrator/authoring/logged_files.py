"""Writes figures and tables of a stage to files, in the forms that MLflow shows."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias, runtime_checkable

from orchestrator.authoring.masking import mask_json, mask_text

#: Dots per inch of a picture.
RESOLUTION = 144


@runtime_checkable
class MatplotlibFigure(Protocol):
    """A figure of matplotlib, or one that saves itself like it."""

    @property
    def savefig(self) -> Callable[..., object]: ...


@runtime_checkable
class PlotlyFigure(Protocol):
    """A figure of plotly."""

    @property
    def write_html(self) -> Callable[..., object]: ...


class _DataType(Protocol):
    @property
    def kind(self) -> str: ...


class _Column(Protocol):
    """A column of a DataFrame."""

    @property
    def dtype(self) -> _DataType: ...
    def tolist(self) -> list[object]: ...


@runtime_checkable
class _Listable(Protocol):
    """An array, or a column."""

    def tolist(self) -> list[object]: ...


@runtime_checkable
class _Scalar(Protocol):
    """A number of numpy."""

    def item(self) -> object: ...


@runtime_checkable
class Frame(Protocol):
    """A DataFrame of pandas."""

    @property
    def to_json(self) -> Callable[..., str | None]: ...
    @property
    def to_csv(self) -> Callable[..., str | None]: ...
    @property
    def to_parquet(self) -> Callable[..., object]: ...
    def items(self) -> Iterable[tuple[object, _Column]]: ...


Figure: TypeAlias = MatplotlibFigure | PlotlyFigure
Table: TypeAlias = Frame | Mapping[str, Iterable[object]]


@contextmanager
def drawn(figure: Figure, file_name: str) -> Iterator[tuple[Path, str]]:
    """A file with the figure inside the block, and the folder that its name asks for.

    matplotlib's are drawn in the format that the name ends in, plotly's are HTML. Raises TypeError.
    """
    with _file(file_name) as (path, folder):
        if not path.suffix:
            raise TypeError(f"log_figure({file_name!r}): name its format, such as {file_name}.png")
        if isinstance(figure, MatplotlibFigure):
            figure.savefig(path, dpi=RESOLUTION, bbox_inches="tight")
        elif not isinstance(figure, PlotlyFigure):
            raise TypeError(f"log_figure takes a figure of matplotlib or plotly, not {type(figure).__name__}")
        elif path.suffix != ".html":
            raise TypeError(f"log_figure({file_name!r}): a figure of plotly is kept as HTML; call it *.html")
        else:
            figure.write_html(path)
        yield path, folder


@contextmanager
def tabulated(table: Table, file_name: str) -> Iterator[tuple[Path, str]]:
    """A file with the table inside the block, and the folder that its name asks for; raises TypeError.

    `.json` is the form that `mlflow.load_table` reads; `.csv` and `.parquet` are what they are called.
    """
    if not isinstance(table, Frame | Mapping):
        raise TypeError(f"log_table takes a DataFrame or columns by name, not {type(table).__name__}")
    with _file(file_name) as (path, folder):
        match path.suffix:
            case ".json":
                path.write_text(mask_json(_as_json(table)), encoding="utf-8")
            case ".csv":
                path.write_text(mask_text(_as_csv(table)), encoding="utf-8")
            case ".parquet" if isinstance(table, Frame):
                table.to_parquet(path)
            case ".parquet":
                raise TypeError(f"log_table({file_name!r}): make a DataFrame of it first")
            case _:
                raise TypeError(f"log_table({file_name!r}): call it *.json, *.csv or *.parquet")
        yield path, folder


@contextmanager
def _file(file_name: str) -> Iterator[tuple[Path, str]]:
    place = PurePosixPath(file_name)
    if not place.name or place.is_absolute() or ".." in place.parts:
        raise ValueError(f"a file of a run's artifacts cannot be called {file_name!r}: such as plots/a.png")
    with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
        yield Path(folder) / place.name, "" if str(place.parent) == "." else str(place.parent)


def _as_json(table: Table) -> str:
    if isinstance(table, Frame):
        plain = json.loads(table.to_json(orient="split", index=False, date_format="iso") or "{}")
        put_back_floats(table, plain["data"])
        return json.dumps(plain)
    columns = [_cells(column) for column in table.values()]
    rows = list(map(list, zip(*columns, strict=True)))
    return json.dumps({"columns": list(table), "data": rows}, default=str)


def _cells(column: Iterable[object]) -> list[object]:
    """The values of a column, those of numpy as Python's, and null for what is no number."""
    values = column.tolist() if isinstance(column, _Listable) else list(column)
    plain = [each.item() if isinstance(each, _Scalar) else each for each in values]
    return [None if isinstance(each, float) and not math.isfinite(each) else each for each in plain]


def put_back_floats(frame: Frame, rows: Sequence[list[object]]) -> None:
    """Replace floats in rows that pandas has written as JSON: it keeps ten decimals of each."""
    for position, (_, column) in enumerate(frame.items()):
        if column.dtype.kind in "fO":
            for row, value in zip(rows, column.tolist(), strict=True):
                row[position] = _exact(value, row[position])


def _exact(value: object, written: object) -> object:
    match value, written:
        case float(), _:
            return value if math.isfinite(value) else None
        case list() | tuple(), list():
            return [_exact(each, as_written) for each, as_written in zip(value, written, strict=True)]
        case dict(), dict():
            return {name: _exact(value.get(name, each), each) for name, each in written.items()}
    return written


def _as_csv(table: Table) -> str:
    if isinstance(table, Frame):
        return table.to_csv(index=False) or ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()
