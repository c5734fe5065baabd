"""Make an attempt's MLflow run the active run, so that plain `mlflow` calls of a stage log to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from workers.tracking.errors import only_warn
from workers.tracking.library import once_imported

if TYPE_CHECKING:
    from mlflow.entities import Run

_EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
_ACTIVE_EXPERIMENT = "_active_experiment_id"


@contextmanager
def active(resolve: Callable[[], Run], tracking_uri: str) -> Iterator[None]:
    """Within the block, MLflow's active run is the one that `resolve` finds or creates.

    `resolve` is called at the first use of the run, possibly never. MLflow's state is restored afterwards,
    even if the stage has left its own runs open, ended this run, or selected another experiment.
    """
    stage: list[_Stage] = []

    def enter(fluent: ModuleType) -> None:
        stage.append(_Stage(fluent, resolve, tracking_uri))

    previous = os.environ.get(_EXPERIMENT_ID)
    # A stage that imports MLflow itself must use the worker's tracking URI.
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    failed = True
    try:
        with once_imported(enter):
            yield
        failed = False
    finally:
        if stage:
            stage[0].leave("FAILED" if failed else "FINISHED")
        if previous is None:
            os.environ.pop(_EXPERIMENT_ID, None)
        else:
            os.environ[_EXPERIMENT_ID] = previous


class _Stage:
    """MLflow's module-wide state around one attempt."""

    def __init__(self, fluent: ModuleType, resolve: Callable[[], Run], tracking_uri: str) -> None:
        self._uri = tracking_uri
        # During the import of MLflow this function does not exist yet; MLflow will read the environment.
        set_tracking_uri = getattr(sys.modules["mlflow"], "set_tracking_uri", None)
        if set_tracking_uri is not None:
            set_tracking_uri(tracking_uri)
        self._fluent = fluent
        self._experiment = vars(fluent)[_ACTIVE_EXPERIMENT]
        self._stack = fluent._active_run_stack.get()
        self._depth = len(self._stack)
        self._run = _lazy_run(fluent)(resolve)
        self._stack.append(self._run)

    def leave(self, status: str) -> None:
        """Restore MLflow's state, and end the runs that the stage left open, except the attempt's own."""
        opened, self._stack[self._depth :] = self._stack[self._depth :], []
        vars(self._fluent)[_ACTIVE_EXPERIMENT] = self._experiment
        others = [run for run in reversed(opened) if run is not self._run]
        ours_was_ended = len(others) == len(opened)
        if not others and not ours_was_ended:
            return
        with only_warn(self._uri, "runs that the stage opened stay open"):
            from mlflow import MlflowClient

            client = MlflowClient(self._uri)
            for run in others:
                client.set_terminated(run.info.run_id, status)
            if ours_was_ended:
                client.update_run(self._run.info.run_id, "RUNNING")


@cache
def _lazy_run(fluent: ModuleType) -> Callable[[Callable[[], Run]], Run]:
    """Return the class of an ActiveRun that is resolved at first use.

    MLflow stores a run's data in these four fields, which its properties read.
    """
    fields = {"_info", "_data", "_inputs", "_outputs"}

    class LazyRun(fluent.ActiveRun):  # type: ignore[name-defined]
        def __init__(self, resolve: Callable[[], Run]) -> None:
            self._resolve = resolve

        def __getattr__(self, name: str) -> object:
            if name not in fields:
                raise AttributeError(name)
            run = self._resolve()
            super().__init__(run)
            # For runs that the stage nests in this one.
            vars(fluent)[_ACTIVE_EXPERIMENT] = run.info.experiment_id
            return self.__dict__[name]

    return LazyRun
