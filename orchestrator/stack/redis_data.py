"""What Redis keeps in `home/redis`, after a power cut: repaired where that loses nothing, else put aside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.stack.process import Process

#: What Redis logs before it ends because of its files. A file that is merely cut off is none of these.
_DAMAGE = re.compile(r"append.?only file|\bAOF\b|\bRDB\b|wrong signature", re.IGNORECASE)


def is_damaged(redis: Process) -> bool:
    """Whether a Redis has ended because it could not read its files."""
    return redis.exit_status is not None and bool(_DAMAGE.search(redis.last_lines()))


def repairs(data: Path) -> Iterator[str]:
    """Repair damaged files, one step for each item, the mildest first; yields what was done."""
    if _cut_zeros(data):
        yield "Redis's file ended in zeros after a power cut: they are cut off"
    aside = _put_aside(data)
    yield (
        f"Redis's files are damaged and were moved to {aside}: it starts empty. What runs have committed is "
        "in the artifact store: `orchestrator runs` lists them, `orchestrator resume RUN` carries one on"
    )


def _cut_zeros(data: Path) -> bool:
    """Truncate the zeros of blocks that never reached the disk; no Redis command ends in them."""
    found = False
    for file in data.rglob("*.aof"):
        with file.open("rb+") as opened:
            end = length = opened.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - 65_536)
                opened.seek(start)
                block = opened.read(end - start)
                end = start + len(block.rstrip(b"\0"))
                if end > start:
                    break
            if end < length:
                opened.truncate(end)
                os.fsync(opened.fileno())
                found = True
    return found


def _put_aside(data: Path) -> Path:
    aside = data.with_name(f"{data.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    data.replace(aside)
    return aside
