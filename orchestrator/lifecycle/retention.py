"""Which runs are pruned, by age and by number, and which never are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.archive.inventory import RunFiles
from orchestrator.archive.outbox import waits_for_delivery
from orchestrator.archive.run_record import unconcluded_runs
from orchestrator.archive.specification import pipeline_of
from orchestrator.run_id import RunId, pipeline_in, submission_time
from orchestrator.runs.reader import RunReader

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.runs.store import RunStore

#: Seconds. A run whose end was not written down may go on in a stack that cannot be asked, such as one with
#: another Redis. It is taken for abandoned once nothing of it has been written for so long.
ABANDONED = 7 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What is to be removed. With both limits, a run must exceed both.

    `older_than=7_776_000, keep_last=5`: 90 days, and the five newest runs of each pipeline stay anyway.
    """

    older_than: float | None = None  #: seconds since anything of the run was written
    keep_last: int | None = None  #: how many runs of each pipeline stay, by the time of submission
    why: str = ""  #: the same in words, for those who ask for a pruned run

    def chosen(self, runs: Mapping[RunId, RunFiles], store: ArtifactStore, now: float) -> Iterator[RunId]:
        """Yield the runs beyond the limits, the oldest first, whatever their state."""
        newest_first = sorted(runs, key=lambda run: (submission_time(run), run), reverse=True)
        seen: Counter[str] = Counter()
        beyond = []
        for run in newest_first:
            if self.keep_last is not None:
                pipeline = pipeline_in(run) or pipeline_of(store, run)
                seen[pipeline] += 1
                if seen[pipeline] <= self.keep_last:
                    continue
            if self.older_than is None or runs[run].changed < now - self.older_than:
                beyond.append(run)
        yield from reversed(beyond)


@dataclass(frozen=True)
class Activity:
    """Which runs go on: by each Redis that can be asked, and by the store."""

    store: ArtifactStore
    redis: Sequence[RunStore]
    now: float  #: seconds since 1970

    def is_over(self, run: RunId, files: RunFiles) -> bool:
        """Whether the run has ended, or was abandoned."""
        return not self._is_open(run) and (files.is_recorded or files.changed < self.now - ABANDONED)

    def is_told(self, run: RunId, files: RunFiles, unconcluded: frozenset[RunId]) -> bool:
        """Whether MLflow has all that it takes of the run."""
        return run not in unconcluded and not (files.has_outbox and waits_for_delivery(self.store, run))

    def may_go(self, run: RunId, files: RunFiles, unconcluded: frozenset[RunId] | None = None) -> bool:
        """Whether the run may be pruned: it is over, and MLflow knows it."""
        marked = unconcluded_runs(self.store) if unconcluded is None else unconcluded
        return self.is_over(run, files) and self.is_told(run, files, marked)

    def oldest(self, runs: Mapping[RunId, RunFiles]) -> float:
        """When the oldest round that goes on was submitted; now, if none does.

        All that its attempts store, and all that they rely on, was written or looked for since then.
        """
        live = {run for each in self.redis for run in _unfinished(each)}
        return min(
            (
                files.begun or files.changed
                for run, files in runs.items()
                if run in live or (not files.is_recorded and files.changed >= self.now - ABANDONED)
            ),
            default=self.now,
        )

    def _is_open(self, run: RunId) -> bool:
        """Whether a Redis has the run and not its conclusion."""
        return any(
            reader.knows(run) and not reader.concluded(run)
            for reader in (RunReader(each.client) for each in self.redis)
        )


def _unfinished(runs: RunStore) -> list[RunId]:
    reader = RunReader(runs.client)
    return [*reader.open_runs(), *reader.unconcluded_runs()]
