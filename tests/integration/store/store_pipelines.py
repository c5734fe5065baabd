"""Stages whose outputs are kept as blobs of every form, and pipelines that wait in the middle."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd

from orchestrator import Table, context, pipeline, stage


def leave(path: str) -> None:
    """Leave a line behind, so that it can be told how often a node ran."""
    with Path(path).open("a") as file:
        file.write(f"{context.node}\n")


@stage
def table(path: str) -> pd.DataFrame:
    leave(path)
    return pd.DataFrame({"x": range(20_000)})


@stage(cache=True)
def kept_table(path: str) -> pd.DataFrame:
    leave(path)
    return pd.DataFrame({"x": range(20_000)})


@stage
def sales(path: str) -> pd.DataFrame:
    """A table that is large enough to be stored by column."""
    leave(path)
    random = np.random.default_rng(0)
    return pd.DataFrame({name: random.random(200_000) for name in ("price", "amount", "day")})


@stage
def doubled(path: str, frame: pd.DataFrame) -> pd.DataFrame:
    leave(path)
    return frame.assign(price=frame["price"] * 2)


@stage
def named(path: str, frame: Annotated[pd.DataFrame, Table["day", "price"]]) -> list[str]:
    leave(path)
    return [str(name) for name in frame.columns]


@stage
def prize(frame: Annotated[pd.DataFrame, Table["prize"]]) -> int:
    return len(frame)


@stage
def listing(path: str) -> list[int]:
    leave(path)
    return list(range(20_000))


@stage
def folder(path: str) -> Path:
    leave(path)
    made = Path(path).parent / f"made-{context.run}"
    made.mkdir(exist_ok=True)
    (made / "numbers").write_text(" ".join(map(str, range(20_000))))
    return made


@stage
def block(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@stage
def until(gate: str) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not Path(gate).exists():
        time.sleep(0.02)
    return 1


@stage
def beside(path: str, frame: pd.DataFrame) -> int:
    leave(path)
    return len(frame)


@stage
def count_rows(path: str, frame: pd.DataFrame) -> int:
    leave(path)
    return len(frame)


@stage
def count_items(path: str, items: list[int]) -> int:
    leave(path)
    return len(items)


@stage
def count_words(path: str, folder: Path) -> int:
    leave(path)
    return len((folder / "numbers").read_text().split())


@stage
def length(data: bytes) -> int:
    print(f"{len(data)} bytes")
    return len(data)


@stage
def total(path: str, values: list[int]) -> int:
    leave(path)
    return sum(values)


@stage
def numbers(count: int) -> list[int]:
    return list(range(count))


@stage
def big_item(path: str, value: int) -> list[int]:
    leave(path)
    return list(range(value, value + 20_000))


@stage
def size_of(path: str, items: list[int]) -> int:
    leave(path)
    return len(items)


@stage
def tick(path: str, value: int) -> int:
    leave(path)
    return value


@stage
def mended(marker: str) -> int:
    if not Path(marker).exists():
        raise RuntimeError("not mended yet")
    return 1


@stage(queue="deployment")
def elsewhere() -> int:
    return 1


@pipeline
def relay_table(gate: str, path: str) -> None:
    total(path, [count_rows.after(until(gate))(path, table(path))])


@pipeline
def relay_sales(gate: str, path: str) -> None:
    total(path, [count_rows.after(until(gate))(path, sales(path))])


@pipeline
def columns(path: str) -> None:
    named(path, doubled(path, sales(path)))


@pipeline
def columns_of_each(path: str) -> None:
    named.partial(path=path).map(frame=doubled.partial(path=path).map(frame=[sales(path)]))


@pipeline
def missing_column(path: str) -> None:
    prize(sales(path))


@pipeline
def relay_listing(gate: str, path: str) -> None:
    total(path, [count_items.after(until(gate))(path, listing(path))])


@pipeline
def relay_folder(gate: str, path: str) -> None:
    total(path, [count_words.after(until(gate))(path, folder(path))])


@pipeline
def heavy(gate: str, size: int = 1_000_000) -> None:
    length(block.after(until(gate))(size))


@pipeline
def kept(path: str) -> None:
    count_rows(path, kept_table(path))


@pipeline
def many(gate: str, path: str) -> None:
    total(path, tick.after(until(gate)).partial(path=path).map(value=list(range(70))))


@pipeline
def fan(marker: str, path: str) -> None:
    """Some nodes have read a table and the items of a map when a failure stops those that read them last."""
    first = table(path)
    items = big_item.partial(path=path).map(value=numbers(70))
    beside(path, first)
    total(path, size_of.partial(path=path).map(items=items))
    last = mended(marker)
    count_rows.after(last)(path, first)
    size_of.after(last).partial(path=path).map(items=items)


@pipeline
def remote() -> None:
    elsewhere()
