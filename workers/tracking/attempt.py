"""The tracker behind a stage's `context`: logs to MLflow, or to an outbox, of which it is delivered later."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, TypeVar

from orchestrator.artifacts.scratch import temporary_folder
from orchestrator.authoring.masking import mask_text
from orchestrator.text import printable
from workers.tracking.attempt_outbox import AttemptOutbox
from workers.tracking.circuit import Circuit
from workers.tracking.entries import (
    Ending,
    Entry,
    File,
    LoggedModel,
    Metrics,
    Params,
    SmallEntry,
    Tag,
    Target,
    Text,
    write_together,
)
from workers.tracking.entry_buffer import EntryBuffer
from workers.tracking.errors import TrackingUnavailable, clear_errors, is_gone, only_warn
from workers.tracking.models import save_model
from workers.tracking.names import (
    LONGEST_TAG,
    Names,
    as_params,
    fitting_model_name,
    fitting_value,
    masked,
    masked_path,
)
from workers.tracking.pending import PendingModel
from workers.tracking.records import AttemptInfo, Fence

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Have the outbox of a run's node delivered soon, by another process.
HandOver: TypeAlias = Callable[[str, str], None]


class AttemptTracker:
    """Implements the stage context's `Tracker`. Its MLflow run is found or created at first use.

    Once MLflow has not answered, the attempt sends nothing to it any more: each call would wait for a timeout
    again, and entries would arrive out of order.
    """

    def __init__(
        self,
        tracking_uri: str,
        info: AttemptInfo,
        *,
        find_run: Callable[[], Run],
        target: Callable[[Run], Target],
        find_model: Callable[[str], str],
        outbox: AttemptOutbox | None,
        hand_over: HandOver | None,
        fence: Fence,
        circuit: Circuit,
    ) -> None:
        """`outbox` keeps entries that cannot be logged; without it, TrackingUnavailable is raised.

        `hand_over` has another process deliver the outbox soon; without it, this one logs all by itself.
        """
        self._uri = tracking_uri
        self._info = info
        self._find_run = find_run
        self._target = target
        self._find_model = find_model
        self._outbox = outbox
        self._hand_over = hand_over
        self._fence = fence
        self._circuit = circuit
        self._run: Run | None = None
        self._away: TrackingUnavailable | None = None
        self._is_used = False  #: something was logged, or tried to be
        self._buffer = EntryBuffer(self._send)
        self._names = Names()
        self._models = 0
        self._latest = 0  #: time of the run's latest metric, in milliseconds since 1970

    @property
    def run(self) -> Run:
        """The MLflow run that the attempt logs to; raises TrackingUnavailable."""
        self._use()
        if self._run is None:
            away = self._away or self._circuit.error()
            if away is not None:
                raise TrackingUnavailable(str(away), hint=away.hint) from away
            with clear_errors(self._uri):
                self._run = self._find_run()
            measured = (metric.timestamp for metric in self._run.data._metric_objs)
            self._latest = max(self._latest, *measured, 0)
        return self._run

    @property
    def is_away(self) -> bool:
        """Whether MLflow has failed to answer in this attempt."""
        return self._away is not None

    @property
    def has_reached(self) -> bool:
        """Whether MLflow has answered in this attempt, without a failure."""
        return self._run is not None and self._away is None

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    def begin(self) -> None:
        """Find or create the MLflow run now, if MLflow answers."""
        try:
            self.run  # noqa: B018 - makes it
        except TrackingUnavailable as error:
            self._set_aside(error)

    def end(self, status: str) -> None:
        """Log how the attempt ended, or keep that in the outbox; raises LeaseLost if the node was taken over.

        A failure is only a warning, so as not to lose hours of fitting; the run's conclusion repairs it.
        """
        if self._outbox is not None and self._hand_over is not None and self._can_be_left():
            self._leave(self._outbox, self._hand_over, status)
            return
        self._buffer.flush()
        has_own_run = self._info.nested and self._is_used
        self._fence.glance(at_once=has_own_run)
        if has_own_run:
            with only_warn(self._uri, f"the MLflow run of {self._info.node} ends with the pipeline's"):
                self._log(Ending(status=status, time=_now()))
        if self.has_reached:
            self._circuit.close()
        if self._outbox is not None:
            self._outbox.write()  # if the store fails too, the stage's output cannot be stored either

    def _can_be_left(self) -> bool:
        """Whether MLflow knows nothing of the attempt yet, nor of earlier ones that it would have to match.

        In the run that a pipeline's nodes share, the order of their tags and params counts.
        """
        is_unknown = self._is_used and self._info.fresh and self._run is None and self._away is None
        return is_unknown and (self._info.nested or self._buffer.holds_only(Metrics))

    def _leave(self, outbox: AttemptOutbox, hand_over: HandOver, status: str) -> None:
        """Leave all that was logged to the process that delivers outboxes: MLflow takes its time."""
        self._fence.glance()
        for entry in self._buffer.take():
            outbox.keep(entry)
        if self._info.nested:
            outbox.keep(Ending(status=status, time=_now()))
        outbox.write()
        hand_over(self._info.run_id, self._info.node)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics."""
        numbers = {self._names.of(name): float(value) for name, value in values.items()}
        self._hold(Metrics(values=numbers, step=step or 0, time=self._after_latest()))

    def log_params(self, values: Mapping[str, object]) -> None:
        """Log params. MLflow's params are immutable: a value logged by an earlier attempt stays."""
        self._hold(Params(values=as_params(values, names=self._names)))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        text = fitting_value(f"tag {name}", masked(name, value), LONGEST_TAG)
        self._hold(Tag(name=self._names.of(name), value=text))

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Log a file or a folder as an artifact."""
        path, folder = Path(path).absolute(), masked_path(folder)
        name = masked_path(path.name)
        if name == path.name:
            self._log_large(File(path=path, folder=folder))
            return
        with temporary_folder() as copies:
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            self._log_large(File(path=Path(copy(path, copies / name)), folder=folder))

    def log_text(self, text: str, file_name: str) -> None:
        """Log a text as an artifact file."""
        self._log_large(Text(text=printable(mask_text(text)), file_name=masked_path(file_name)))

    def log_model(self, model: object, *, example: object, name: str = "model") -> str:
        """Log a fitted estimator and return its URI; see `workers.tracking.models`."""
        name = fitting_model_name(name)
        with temporary_folder() as folder:
            saved = folder / "model"
            save_model(model, example, saved)
            self._models += 1
            uri = self._log_large(LoggedModel(name=name, path=saved, number=self._models))
        return uri or str(PendingModel(self._info.pipeline, self._info.run_id, self._info.node, name))

    def model_uri(self, uri: str) -> str:
        """Return MLflow's URI of a model; a pending one is delivered first. Raises TrackingUnavailable."""
        return self._find_model(uri)

    def _after_latest(self) -> int:
        """Return a time after all earlier metrics: MLflow shows the latest of equal steps; clocks differ."""
        self._use()  # which asks for the latest one of earlier attempts
        self._latest = max(_now(), self._latest + 1)
        return self._latest

    def _log_large(self, entry: Entry) -> str:
        """Log an entry that has a request of its own, after those before it."""
        self._buffer.flush()
        return self._log(entry)

    def _use(self) -> None:
        """Note that something is logged; first of all, the node's small inputs are."""
        if self._is_used:
            return
        self._is_used = True
        inputs = as_params(self._info.inputs, scalars_only=True) if self._info.nested else {}
        if inputs:
            self._hold(Params(values=inputs))
        if not self._info.fresh:
            self.begin()  # what earlier attempts have logged says which time is the latest

    def _hold(self, entry: SmallEntry) -> None:
        self._use()
        if self._outbox is not None:
            self._buffer.add(entry)
        else:
            self._log(entry)  # nothing would keep it

    def _send(self, entries: Sequence[SmallEntry]) -> None:
        """Write entries in one request; those of a request that MLflow refuses, each by itself."""
        if self._away is None and len(entries) > 1:
            self._fence.glance()
            try:
                with clear_errors(self._uri):
                    self._write(lambda target: write_together(entries, target))
            except TrackingUnavailable as error:
                self._set_aside(error)
            except Exception as error:
                self._fence.glance(at_once=True)
                if not _is_mlflows(error):
                    raise
            else:
                return
        for entry in entries:
            self._log(entry)

    def _log(self, entry: Entry) -> str:
        self._use()
        self._fence.glance()
        if self._away is None:
            try:
                with clear_errors(self._uri):
                    return self._write(entry.write)
            except TrackingUnavailable as error:
                self._set_aside(error)
            except Exception as error:
                # The run may have been deleted by the attempt that took the node over.
                self._fence.glance(at_once=True)
                if self._outbox is None or isinstance(entry, LoggedModel) or not _is_mlflows(error):
                    raise
                self._outbox.refuse(entry, error)
                return ""
        if self._outbox is not None:
            self._outbox.keep(entry)
        return ""

    def _write(self, write: Callable[[Target], T]) -> T:
        """Write to the run or, if it was deleted meanwhile, to the run that replaces it."""
        try:
            return write(self._target(self.run))
        except Exception as error:
            if not _is_mlflows(error) or not is_gone(error):
                raise
        self._fence.glance(at_once=True)
        self._run = None
        return write(self._target(self.run))

    def _set_aside(self, error: TrackingUnavailable) -> None:
        """Switch to the outbox, since MLflow is unavailable."""
        if self._outbox is None:
            raise error
        self._away = error
        self._circuit.open(error)
        log.warning(
            "%s; what this attempt logs is kept, and delivered when MLflow is back",
            error,
            extra={"action": "tracking unavailable", "run": self._info.run_id, "node": self._info.node},
        )


def _is_mlflows(error: Exception) -> TypeGuard[MlflowException]:
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException)


def _now() -> int:
    return int(time() * 1000)
