"""Import MLflow lazily and without its warnings: it takes seconds, and most stages never need it."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from orchestrator.tracking_address import never_proxy_loopback

_FLUENT = "mlflow.tracking.fluent"

#: Modules that MLflow would otherwise import at its first use.
STORE_MODULES = ("mlflow", "mlflow.store.tracking.sqlalchemy_store")
MODEL_MODULES = ("mlflow.sklearn", "mlflow.pyfunc", "skops.io")

#: Defaults of MLflow's environment variables in a worker. An outage is detected after about 3 s (two retries,
#: after 0 and 2 s) instead of MLflow's four minutes, since entries that cannot be logged are kept.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def settle_environment() -> None:
    """Set defaults of MLflow's environment variables, keeping those set, and bypass proxies for loopback."""
    never_proxy_loopback(os.environ)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def preload() -> None:
    """Import what logging needs before the worker forks: 4 s once, instead of in each child process."""
    settle_environment()
    load(*STORE_MODULES, *MODEL_MODULES)


def load(*modules: str) -> None:
    """Import MLflow modules, ignoring warnings that concern MLflow and its dependencies only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            importlib.import_module(module)


@contextmanager
def once_imported(act: Callable[[ModuleType], None]) -> Iterator[None]:
    """Call `act` with MLflow's fluent module: now, or when this thread imports it within the block."""
    if _FLUENT in sys.modules:
        act(sys.modules[_FLUENT])
        yield
        return
    finder = _FluentFinder(act)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.retire()


class _FluentFinder(MetaPathFinder):
    """Finds one module in the normal way, and calls `act` after it was executed.

    The alternative, importing MLflow for every stage so that the plain `mlflow.log_metric` of a few stages
    logs to the right run, would cost each worker 4 s at its start.
    """

    def __init__(self, act: Callable[[ModuleType], None]) -> None:
        self._act = act
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _FLUENT or threading.get_ident() != self._thread:
            return None
        self.retire()
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute, act = spec.loader.exec_module, self._act

            def execute_and_tell(module: ModuleType) -> None:
                execute(module)
                act(module)

            spec.loader.exec_module = execute_and_tell  # type: ignore[method-assign]
        return spec

    def retire(self) -> None:
        """Remove this finder from `sys.meta_path`."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
