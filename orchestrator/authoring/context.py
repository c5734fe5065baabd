"""`context`: what a stage logs of its attempt (metrics, models, progress), and its effects outside."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from orchestrator.authoring.errors import MissingSecret
from orchestrator.authoring.logged_files import Figure, Table, drawn, tabulated
from orchestrator.authoring.masking import keep_secret
from orchestrator.authoring.progress import Loops, logged_loops
from orchestrator.authoring.tracker import LocalModels, LogTracker, Tracker

log = logging.getLogger("orchestrator.stage")

T = TypeVar("T")

#: The tag by which MLflow knows which artifacts are tables.
TABLES = "mlflow.loggedArtifacts"
#: Characters that it may have.
LONGEST_LIST = 8000


def _no_check() -> None:
    """Outside a worker no other attempt can take the node over."""


def _act_directly(key: str, act: Callable[[], str]) -> str:
    """Outside a worker there are no other attempts whose result could be found."""
    del key
    return act()


@dataclass(frozen=True)
class Attempt:
    """One try of a node in a run, as its stage sees it."""

    run: str = "local"
    node: str = "local"
    number: int = 1  #: 1 for the first try
    tracker: Tracker = field(default_factory=LogTracker)
    check: Callable[[], None] = _no_check  #: raises if another worker has taken the node over
    models: LocalModels | None = None  #: those of a local run; None where MLflow has the models
    loops: Loops = field(default_factory=logged_loops)  #: of which others are told how far they have come
    tables: dict[str, None] = field(default_factory=dict)  #: the files that it has logged as tables, in order
    once: Callable[[str, Callable[[], str]], str] = _act_directly  #: acts unless an earlier attempt did


_current: ContextVar[Attempt | None] = ContextVar("orchestrator_attempt", default=None)


def local_attempt() -> Attempt:
    """The attempt that a local run starts in: the caller's, or a new one that keeps models in memory."""
    found = _current.get()
    if found is not None:
        return found
    models = LocalModels()
    return Attempt(tracker=LogTracker(models), models=models)


def current_attempt() -> Attempt:
    """The attempt that the caller is in; outside of any, one that only writes to the logger."""
    return _current.get() or Attempt()


@contextmanager
def attempting(attempt: Attempt) -> Iterator[None]:
    """Inside the block, `context` is that of `attempt`."""
    token = _current.set(attempt)
    try:
        yield
    finally:
        _current.reset(token)


class Context:
    """The attempt that the calling stage is in; usable anywhere below the stage's function.

    On a worker it logs to the attempt's MLflow run; elsewhere it writes to the logger.
    """

    @property
    def _attempt(self) -> Attempt:
        return current_attempt()

    @property
    def run(self) -> str:
        """The run's id; `local` outside a run."""
        return self._attempt.run

    @property
    def node(self) -> str:
        """The node's name, such as `fit[3]`."""
        return self._attempt.node

    @property
    def attempt(self) -> int:
        """Which try of the node this is, from 1."""
        return self._attempt.number

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one number."""
        self._attempt.tracker.log_metrics({name: value}, step)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record several numbers."""
        self._attempt.tracker.log_metrics(values, step)

    def log_param(self, name: str, value: object) -> None:
        """Record one setting."""
        self._attempt.tracker.log_params({name: value})

    def log_params(self, values: Mapping[str, object]) -> None:
        """Record several settings."""
        self._attempt.tracker.log_params(values)

    def set_tag(self, name: str, value: str) -> None:
        """Label the attempt's run."""
        self._attempt.tracker.set_tag(name, value)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file, under `folder` of the run's artifacts."""
        self._attempt.tracker.log_artifact(path, folder)

    def log_text(self, text: str, file_name: str) -> None:
        """Keep a text as a file of the run's artifacts."""
        self._attempt.tracker.log_text(text, file_name)

    def log_figure(self, figure: Figure, file_name: str) -> None:
        """Keep a figure as it is now, as a file of the run's artifacts: `plots/errors.png`.

        One of matplotlib is drawn in the format that the name ends in, one of plotly is kept as HTML.
        """
        with drawn(figure, file_name) as (path, folder):
            self._attempt.tracker.log_artifact(path, folder)

    def log_table(self, table: Table, file_name: str) -> None:
        """Keep a DataFrame, or columns by name, as a file of the run's artifacts.

        `.json` is what `mlflow.load_table` reads; `.csv` and `.parquet` work too.
        """
        attempt = self._attempt
        with tabulated(table, file_name) as (path, folder):
            attempt.tracker.log_artifact(path, folder)
        names = {**attempt.tables, file_name: None}
        listed = json.dumps([{"path": name, "type": "table"} for name in names])
        if len(listed) <= LONGEST_LIST:
            attempt.tables[file_name] = None
            attempt.tracker.set_tag(TABLES, listed)
        else:
            log.warning("%s is kept, but mlflow.load_table will not find it: the list is full", file_name)

    def progress(self, items: Iterable[T], total: int | None = None, description: str = "") -> Iterator[T]:
        """The items, one by one, while people see how far it has come: `12/30`, and how long the rest takes.

            for batch in context.progress(batches, description="training"):

        `total` is the number of items, by default their `len`. Of loops that are nested, or run in
        threads side by side, the one that began last is shown. Raises TypeError, ValueError.
        """
        return self._attempt.loops.over(items, total, description)

    def log_model(self, model: object, *, example: object, name: str = "model") -> str:
        """Keep a fitted estimator with its signature; `example` is a few rows of its input.

        Returns the model's MLflow URI; in a local run a URI that is valid within that run only, and outside
        of any run an empty string. While MLflow is away it is a URI that stands for this model of this node:
        `model_uri` turns it into MLflow's own.
        """
        return self._attempt.tracker.log_model(model, example=example, name=name)

    def model_uri(self, uri: str) -> str:
        """MLflow's own URI for what `log_model` returned; delivers the model if it is in the outbox."""
        return self._attempt.tracker.model_uri(uri)

    def secret(self, name: str) -> str:
        """A password or a key, from the environment variable `name` or the file that `name`_FILE names.

        It is masked in whatever the stage prints, logs or raises from then on. Raises MissingSecret.
        """
        value = os.environ.get(name)
        if value is None:
            file = os.environ.get(f"{name}_FILE")
            if file is None:
                raise MissingSecret(
                    f"this worker's environment has no secret {name}",
                    hint=f"Set {name}, or {name}_FILE to the path of a file, where the worker is started.",
                )
            try:
                value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, ValueError) as error:
                raise MissingSecret(f"the file of the secret {name} cannot be read: {error}") from error
        keep_secret(value)
        return value

    @property
    def idempotency_key(self) -> str:
        """The same for each attempt of a node in a run, and for nothing else: for services that take one."""
        return f"{self.run}/{self.node}"

    def check(self) -> None:
        """Raise LeaseLost if another worker has taken this node over; call it before an effect outside.

        A worker may have been paused for minutes, or cut off, without noticing. Its result is not committed
        in any case; its effects outside are prevented by this call only.
        """
        self._attempt.check()

    def once(self, key: str, act: Callable[[], str]) -> str:
        """Run an effect outside once for all attempts of the node, and return its result.

            ticket = context.once("ticket", lambda: open_ticket("a new champion"))

        What `act` returns is stored with the run as soon as it returns, and later attempts get it from there.
        If a worker dies between the two, the next attempt calls `act` again: give `idempotency_key` to a
        service that takes one. Outside a worker `act` is simply called.
        """
        return self._attempt.once(key, act)


context = Context()
