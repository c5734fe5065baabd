"""What the store has of each run: how much, since when, and whether its end was written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.archive.outbox import is_outbox
from orchestrator.archive.rounds import round_of_file
from orchestrator.archive.run_record import recorded_round
from orchestrator.archive.specification import is_specification
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore, StoredObject

RUNS = "runs"


@dataclass
class RunFiles:
    """The files of one run, without its blobs. Times are in seconds since 1970."""

    size: int = 0  #: bytes
    changed: float = 0.0  #: when any of it was written last
    begun: float = 0.0  #: when its latest round was submitted
    round: int = 0  #: its latest round
    recorded: int = -1  #: the latest round whose end was written down
    submitted: bool = False  #: it has a specification
    has_outbox: bool = False

    @property
    def is_recorded(self) -> bool:
        """Whether it has ended, as far as the store tells: a resumption writes its round before all else."""
        return self.recorded >= self.round

    def add(self, name: str, found: StoredObject) -> None:
        """Count one more of its files, of this name in its folder."""
        self.size += found.size
        self.changed = max(self.changed, found.changed)
        self.submitted |= is_specification(name)
        self.has_outbox |= is_outbox(name)
        if (number := recorded_round(name)) is not None:
            self.recorded = max(self.recorded, number)
        if (begun := round_of_file(name)) is not None:
            self.round = max(self.round, begun)
        if begun is not None or is_specification(name):
            self.begun = max(self.begun, found.changed)


def list_runs(store: ArtifactStore) -> dict[RunId, RunFiles]:
    """List the files of all runs, in one pass."""
    return _grouped(store.objects(RUNS))


def list_run(store: ArtifactStore, run: RunId) -> RunFiles:
    """List the files of one run."""
    return _grouped(store.objects(f"{RUNS}/{run}")).get(run, RunFiles())


def run_and_name(key: str) -> tuple[RunId, str]:
    """Return the run that a file is of, and its name in the run's folder; both empty if it is of none."""
    top, _, rest = key.partition("/")
    run, _, name = rest.partition("/")
    return (RunId(run), name) if top == RUNS and name else (RunId(""), "")


def _grouped(found: Iterable[StoredObject]) -> dict[RunId, RunFiles]:
    runs: dict[RunId, RunFiles] = {}
    for each in found:
        run, name = run_and_name(each.key)
        if run:
            runs.setdefault(run, RunFiles()).add(name, each)
    return runs
