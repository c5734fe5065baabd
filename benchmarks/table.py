"""table: a large table through three stages that change a column each, against Parquet files by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks.contenders import Unfinished, settle, start_ours, wait_for
from benchmarks.rig import ROOT, Rig
from benchmarks.row import Row
from orchestrator.archive.manifest import Manifest
from orchestrator.artifacts import inline

TIME, MEMORY, DISK = 0.3, 0.5, 0.35
STAGES = "benchmarks.table_stages"


@dataclass(frozen=True)
class Taken:
    """What one contender took."""

    seconds: float
    memory: int  #: the most that its process had at once, in bytes
    disk: int  #: what it left behind, in bytes


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratios of time, of the working process's memory, and of the bytes on the disk."""
    from benchmarks.table_stages import ROW_BYTES, table_of, write

    size = 100_000_000 if quick else 1_000_000_000
    rounds = 1 if quick else 2
    file, ours, theirs = rig.folder / "table.arrow", [], []
    for seed in range(rounds):  # another table each time: what is in the store is not written again
        with rig.worker(slots=1, more_pipelines=STAGES):  # a new one each time, as its process's peak counts
            write(table_of(1_000, seed), file)
            _ours(rig, file)
            write(table_of(size // ROW_BYTES, seed), file)
            ours.append(_ours(rig, file))
        theirs.append(_by_hand(rig.folder / "by-hand", file))
    mine, other = _middle(ours), _middle(theirs)
    shares = (mine.seconds / other.seconds, mine.memory / other.memory, mine.disk / other.disk)
    targets = (TIME, MEMORY, DISK)
    return Row(
        name="table",
        what=f"a table of {size / 1e9:g} GB (numbers, days, categories, text) through three stages that "
        "change a column each: time; memory; disk. By hand: to_parquet and read_parquet in one process",
        ours=_shown(mine),
        baseline=_shown(other),
        ratio="; ".join(f"{share:.2f}×" for share in shares),
        target="; ".join(f"≤ {target:g}×" for target in targets),
        reached=all(share <= target for share, target in zip(shares, targets, strict=True)),
        detail=f"{rounds} rounds, 1 slot; to_parquet with its defaults (snappy)",
    )


def _ours(rig: Rig, file: Path) -> Taken:
    from benchmarks.table_stages import changes

    blobs = rig.store_folder / "blobs"
    shutil.rmtree(blobs, ignore_errors=True)
    begun = time.perf_counter()
    run = start_ours(rig, changes, {"path": str(file)})
    wait_for(lambda: rig.reader.state(run).over, run)
    seconds = time.perf_counter() - begun
    settle(rig, run)
    manifest = Manifest.read(rig.store, run, "memory")
    if manifest is None:
        raise Unfinished(f"{run} has no memory to tell of")
    return Taken(seconds, cast("int", inline(manifest.output)), _size(blobs))


def _by_hand(folder: Path, file: Path) -> Taken:
    folder.mkdir()
    try:
        command = [sys.executable, "-m", STAGES, str(file), str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise Unfinished(f"the baseline exited with {done.returncode}: {done.stderr[-500:]}")
        seconds, memory = json.loads(done.stdout)
        return Taken(seconds, memory, _size(folder))
    finally:
        shutil.rmtree(folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _middle(taken: list[Taken]) -> Taken:
    return Taken(
        median(each.seconds for each in taken),
        int(median(each.memory for each in taken)),
        int(median(each.disk for each in taken)),
    )


def _shown(taken: Taken) -> str:
    return f"{taken.seconds:.1f} s; {taken.memory / 1e9:.2f} GB; {taken.disk / 1e9:.2f} GB"
