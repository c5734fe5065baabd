"""Writes figures and tables of a stage to files, in the forms that MLflow shows."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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


@runtime_checkable
class Frame(Protocol):
    """A DataFrame of pandas."""

    @property
    def to_json(self) -> Callable[..., str | None]: ...
    @property
    def to_csv(self) -> Callable[..., str | None]: ...
    @property
    def to_parquet(self) -> Callable[..., object]: ...


Figure: TypeAlias = MatplotlibFigure | PlotlyFigure
Table: TypeAlias = Frame | Mapping[str, Sequence[object]]


@contextmanager
def drawn(figure: Figure, file_name: str) -> Iterator[tuple[Path, str]]:
    """A file with the figure inside the block, and the folder that its name asks for.

    matplotlib's are drawn in the format that the name ends in, plotly's are HTML. Raises TypeError.
    """
    with _file(file_name) as (path, folder):
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
    with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
        yield Path(folder) / place.name, "" if str(place.parent) == "." else str(place.parent)


def _as_json(table: Table) -> str:
    if isinstance(table, Frame):
        return table.to_json(orient="split", index=False, date_format="iso") or ""
    rows = list(map(list, zip(*table.values(), strict=True)))
    return json.dumps({"columns": list(table), "data": rows}, default=str)


def _as_csv(table: Table) -> str:
    if isinstance(table, Frame):
        return table.to_csv(index=False) or ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()
