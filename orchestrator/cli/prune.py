"""`prune` removes old runs from the artifact store, and the blobs that nothing refers to."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer

from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import JSON
from orchestrator.cli.errors import UsageError
from orchestrator.cli.messages import show_activity
from orchestrator.cli.options import AsJson
from orchestrator.client.connection import join_stack, private_redis
from orchestrator.client.formatting import as_line, data_size
from orchestrator.lifecycle.prune import Pruned
from orchestrator.lifecycle.prune import prune as prune_store
from orchestrator.lifecycle.retention import Retention
from orchestrator.runs.connection import connect_redis
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="TIME",
        help="Remove runs of which nothing was written for so long: 90d, 12h, 30m.",
        show_default="ORCHESTRATOR_ARTIFACT_RETENTION_DAYS, if that is set and --keep-last is not given",
    ),
]
KeepLast = Annotated[
    int | None,
    typer.Option("--keep-last", metavar="N", min=0, help="Keep the newest N runs of each pipeline."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")]

_TIME = re.compile(r"([0-9]{1,6})([dhm])")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0}
#: Runs that are listed by name.
_LISTED = 20


def prune(
    *,
    older_than: OlderThan = None,
    keep_last: KeepLast = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove old runs, and what nothing refers to any more, while others go on.

    A run stays while it goes on, and until MLflow has all of it; what MLflow has stays in any case. If both
    limits are given, a run must exceed both.
    """
    join_stack()
    retention = parse_retention(older_than, keep_last)
    redis = _stacks()
    store = ArtifactStore(settings().store_url, create=False)
    with show_activity(f"looking through {store.url}"):
        found = prune_store(store, retention, redis, now=time.time(), dry_run=dry_run)
    print(as_line(_as_json(found, dry_run=dry_run)) if as_json else _as_text(found, dry_run=dry_run))


def parse_retention(older_than: str | None, keep_last: int | None) -> Retention:
    """What the options say, or the setting without them; raises UsageError."""
    days = settings().artifact_retention_days
    if older_than is None and keep_last is None:
        if days is None:
            raise UsageError(
                "say which runs are to go: --older-than 90d, --keep-last 10, or both",
                hint="or set ORCHESTRATOR_ARTIFACT_RETENTION_DAYS; `--dry-run` tells what would be removed",
            )
        return Retention(older_than=days * 86_400, why=f"older than {days:g}d")
    age = None if older_than is None else _seconds(older_than)
    words = [f"older than {older_than}"] if older_than is not None else []
    words += [f"not among the newest {keep_last}"] if keep_last is not None else []
    return Retention(older_than=age, keep_last=keep_last, why=", ".join(words))


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"--older-than {text}: write days, hours or minutes, such as 90d, 12h or 30m")
    return int(found[1]) * _SECONDS[found[2]]


def _stacks() -> list[RunStore]:
    """Each Redis that may have runs of this store; raises RedisUnreachable if the one that is set is away."""
    chosen = settings()
    own = [connect_redis(chosen.redis_url)] if chosen.redis_url is not None else []
    redis = [*own, *(client for _, client in private_redis())]
    return [RunStore(client, lease_seconds=chosen.lease_seconds) for client in redis]


def _as_json(found: Pruned, *, dry_run: bool) -> JSON:
    return {
        "dry_run": dry_run,
        "runs": [{"id": run, "bytes": size} for run, size in found.runs.items()],
        "blobs": {"count": found.blobs, "bytes": found.blob_bytes},
        "kept_blobs": {"count": found.kept_blobs, "bytes": found.kept_bytes},
        "bytes": found.size,
    }


def _as_text(found: Pruned, *, dry_run: bool) -> str:
    lines = [f"  {run}  {data_size(size)}" for run, size in list(found.runs.items())[:_LISTED]]
    if len(found.runs) > _LISTED:
        lines.append(f"  … and {len(found.runs) - _LISTED} more")
    done = "would remove" if dry_run else "removed"
    runs, blobs = _counted(len(found.runs), "run"), _counted(found.blobs, "blob")
    lines.append(f"{done} {runs} and {blobs}: {data_size(found.size)}")
    if found.kept_blobs:
        kept = f"{_counted(found.kept_blobs, 'blob')} ({data_size(found.kept_bytes)})"
        lines.append(f"kept for now: {kept} that nothing refers to, but a run may be about to")
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
