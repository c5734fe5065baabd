"""The table of the row `table`, the stages that change it, and the same by hand: `python -m` this module."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from pyarrow import feather

from orchestrator import pipeline, stage

#: Bytes of a row: fifteen measurements, a day, a number below a hundred, a shop's code and a city's text.
ROW_BYTES = 15 * 8 + 8 + 8 + 1 + 16
CITIES = ("Amsterdam", "Barcelona", "Copenhagen", "Dubrovnik")


def table_of(rows: int, seed: int) -> pd.DataFrame:
    """A table of so many rows; each seed gives another one."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, len(CITIES), rows, dtype="int8")
    frame = pd.DataFrame({f"m{number}": random.random(rows) for number in range(15)}, copy=False)
    frame["day"] = np.datetime64("2024-01-01", "us") + random.integers(0, 365, rows) * np.timedelta64(1, "D")
    frame["count"] = random.integers(0, 100, rows)
    frame["shop"] = pd.Categorical.from_codes(codes, categories=list("abcd"))
    frame["city"] = pd.Series(CITIES, dtype="str").take(codes).array
    return frame


def change(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    """What each of the stages does: one column is another afterwards."""
    frame[f"m{number}"] = frame[f"m{number}"] * 2 + 1
    return frame


def peak() -> int:
    """The most memory that this process has had at once, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as an Arrow file of one batch, which is read in no time."""
    feather.write_feather(frame, str(path), compression="uncompressed", chunksize=len(frame))


def read(path: str) -> pd.DataFrame:
    """The table that both begin with, over the file's own bytes as far as that goes."""
    return cast("pd.DataFrame", feather.read_table(path, memory_map=True).to_pandas(split_blocks=True))


@stage
def load(path: str) -> pd.DataFrame:
    """The table to begin with."""
    return read(path)


@stage
def change_column(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    """The same table but for one column."""
    return change(frame, number)


@stage
def memory(frame: pd.DataFrame) -> int:
    """The most memory that this process has had, once it has read the last table too."""
    del frame
    return peak()


@pipeline
def changes(path: str) -> None:
    """A table, and three stages that change a column each."""
    frame = load(path)
    for number in range(3):
        frame = change_column(frame, number)
    memory(frame)


def by_hand(path: str, folder: Path) -> tuple[float, int]:
    """Seconds and memory (bytes) of the same with Parquet files in a folder, in this process."""
    begun = time.perf_counter()
    read(path).to_parquet(folder / "0.parquet")
    for number in range(3):
        frame = pd.read_parquet(folder / f"{number}.parquet")
        change(frame, number).to_parquet(folder / f"{number + 1}.parquet")
        del frame
    len(pd.read_parquet(folder / "3.parquet"))
    return time.perf_counter() - begun, peak()


if __name__ == "__main__":
    print(json.dumps(by_hand(sys.argv[1], Path(sys.argv[2]))))
