"""What a stage's `context` writes to: the MLflow run of its attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, TypeVar

from workers.tracking.errors import clear_errors
from workers.tracking.masking import as_params
from workers.tracking.models import log_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)
T = TypeVar("T")


class AttemptTracker:
    """Fulfils the stage context's `Tracker`. Its run is made or found when it is first needed."""

    def __init__(
        self,
        tracking_uri: str,
        client: Callable[[], MlflowClient],
        find_run: Callable[[], Run],
        *,
        node: str,
        retried: bool = False,
    ) -> None:
        self._uri = tracking_uri
        self._open = client
        self._find_run = find_run
        self._node = node
        self._retried = retried

    @cached_property
    def run(self) -> Run:
        """The MLflow run that all of this lands in."""
        with clear_errors(self._uri):
            return self._find_run()

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers."""
        from mlflow.entities import Metric

        now = int(time() * 1000)
        metrics = [Metric(name, float(value), now, step or 0) for name, value in values.items()]
        with self._writing() as client:
            for part in _parts(metrics, 1000):
                client.log_batch(self.run_id, metrics=part)

    def log_params(self, values: Mapping[str, object]) -> None:
        """Record settings. MLflow's params never change: one that an earlier attempt set stays as it is."""
        from mlflow.entities import Param

        params = as_params(values)
        if self._retried:
            params = self._new(params)
        with self._writing() as client:
            for part in _parts([Param(name, value) for name, value in params.items()], 100):
                client.log_batch(self.run_id, params=part)

    def set_tag(self, name: str, value: str) -> None:
        """Label the run."""
        with self._writing() as client:
            client.set_tag(self.run_id, name, value)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file or a folder."""
        with self._writing() as client:
            client.log_artifact(self.run_id, str(path), folder or None)

    def log_text(self, text: str, file_name: str) -> None:
        """Keep a text as a file."""
        with self._writing() as client:
            client.log_text(self.run_id, text, file_name)

    def log_model(self, model: object, *, example: object, name: str = "model") -> str:
        """Keep a fitted estimator; see `workers.tracking.models`."""
        with self._writing() as client:
            return log_model(client, self.run_id, self._node, model, example=example, name=name)

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        with clear_errors(self._uri):
            yield self._open()

    def _new(self, params: Mapping[str, str]) -> dict[str, str]:
        with self._writing() as client:
            known = client.get_run(self.run_id).data.params
        for name in params:
            if name in known and known[name] != params[name]:
                log.warning(
                    "param %s stays %s, as an earlier attempt logged it; this one has %s",
                    name,
                    known[name],
                    params[name],
                )
        return {name: value for name, value in params.items() if name not in known}


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    """The items in as many requests as MLflow's limits ask for."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
