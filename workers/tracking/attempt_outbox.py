"""Keep what a short attempt logs, or any attempt while MLflow is away, in an outbox, and deliver it later."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from orchestrator.archive.logs import Line, read_log, write_log
from orchestrator.archive.outbox import Outbox
from orchestrator.authoring.masking import mask_text
from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId
from workers.tracking.entries import Entry, SmallEntry, Target, from_json, to_json, write_together
from workers.tracking.errors import clear_errors
from workers.tracking.names import as_params
from workers.tracking.records import AttemptInfo

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.authoring.graph import JSON

log = logging.getLogger(__name__)

_SUBJECT = TypeAdapter(AttemptInfo)


@dataclass
class AttemptOutbox:
    """The outbox of one running attempt."""

    store: ArtifactStore
    info: AttemptInfo
    entries: list[JSON] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def keep(self, entry: Entry) -> None:
        """Add an entry; its files are in the store when this returns."""
        self.entries.append(to_json(entry.kept(self.store)))

    def refuse(self, entry: Entry, error: Exception) -> None:
        """Record an entry that MLflow rejects, so that the stage does not fail after hours of work."""
        why = mask_text(str(error))
        self.refused.append(f"{entry.named}: {why}")
        log.warning("MLflow refuses %s: %s", entry.named, why, extra={"action": "log refused"})

    def write(self) -> None:
        """Write the outbox if it has pending or refused entries."""
        if not self.entries and not self.refused:
            return
        Outbox(
            run=RunId(self.info.run_id),
            node=self.info.node,
            round=self.info.round,
            attempt=self.info.attempt,
            subject=_subject(self.info),
            entries=self.entries,
            refused=self.refused,
        ).write(self.store)


def attempt_of(outbox: Outbox) -> AttemptInfo:
    """Return the attempt that an outbox belongs to.

    Raises ValueError for a subject that was altered or belongs to another attempt.
    """
    info: AttemptInfo = _SUBJECT.validate_python(outbox.subject)
    if (info.run_id, info.node, info.order) != (outbox.run, outbox.node, (outbox.round, outbox.attempt)):
        raise ValueError("its subject is another attempt")
    return info


def deliver_entries(outbox: Outbox, target: Target, tracking_uri: str) -> list[str]:
    """Write an outbox's entries; return those that cannot be delivered, and why. Raises TrackingUnavailable.

    An error of one entry does not affect the others: the run must be concluded all the same.
    """
    refused: list[str] = []
    entries: list[Entry] = []
    for number, plain in enumerate(outbox.entries, 1):
        try:
            entries.append(from_json(plain))
        except ValueError as error:
            refused.append(refusal(outbox, f"entry {number}", error))
    for is_small, group in groupby(entries, lambda entry: isinstance(entry, SmallEntry)):
        together = list(group)
        if is_small and len(together) > 1 and _are_written(together, target, tracking_uri):
            continue
        for entry in together:
            try:
                with clear_errors(tracking_uri):
                    entry.write(target)
            except Exception as error:
                if isinstance(error, OrchestratorError) and error.transient:
                    raise
                refused.append(refusal(outbox, entry.named, error))
    return refused


def _are_written(entries: Sequence[Entry], target: Target, tracking_uri: str) -> bool:
    """Write small entries in one request; return False if MLflow refuses it, for one of them perhaps."""
    try:
        with clear_errors(tracking_uri):
            write_together(cast("Sequence[SmallEntry]", entries), target)
    except Exception as error:
        if isinstance(error, OrchestratorError) and error.transient:
            raise
        return False
    return True


def refusal(outbox: Outbox, name: str, error: Exception) -> str:
    """Log that an entry of an outbox cannot be delivered, and return the reason."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        why = f"it is not what was kept: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        why = mask_text(str(error)) or type(error).__name__
    log.warning(
        "%s of %s, attempt %d, cannot be delivered to MLflow: %s",
        name,
        outbox.node,
        outbox.attempt,
        why,
        extra={"action": "log refused", "run": outbox.run, "node": outbox.node},
    )
    return f"{name}: {why}"


def settle(outbox: Outbox, refused: list[str], store: ArtifactStore) -> None:
    """Remove a delivered outbox; if entries were refused, keep these, and add them to the node's log."""
    if refused:
        _add_to_log(outbox, refused, store)
        replace(outbox, entries=(), refused=[*outbox.refused, *refused]).write(store)
    else:
        outbox.remove(store)


def _add_to_log(outbox: Outbox, refused: list[str], store: ArtifactStore) -> None:
    now = datetime.now(UTC)
    earlier = read_log(store, outbox.run, outbox.node, outbox.attempt) or ()
    told = (Line(now, "error mlflow", f"cannot be delivered to MLflow: {each}") for each in refused)
    write_log(store, outbox.run, outbox.node, outbox.attempt, [*earlier, *told])


def _subject(info: AttemptInfo) -> Mapping[str, JSON]:
    """Return the attempt's data for its MLflow run, with secrets masked."""
    shown = replace(
        info,
        parameters=as_params(info.parameters),
        inputs=as_params(info.inputs, scalars_only=True),
    )
    return cast("Mapping[str, JSON]", _SUBJECT.dump_python(shown, mode="json"))
