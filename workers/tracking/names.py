"""Convert names, values and batches to what MLflow accepts, with a warning if they change."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from orchestrator.authoring.masking import MASK, is_secret, is_secret_type, mask_text
from orchestrator.text import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

#: MLflow's own limits, in characters.
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 8000
MOST_PARAMS, MOST_METRICS = 100, 1000  #: in one request

_REFUSED = re.compile(r"[^\w\-. /:]|\n")
_REFUSED_IN_MODELS = re.compile(r"""[/:.%"']""")


T = TypeVar("T")


@dataclass
class Names:
    """MLflow names of one attempt's params, metrics and tags.

    `precision@5` becomes `precision_5`, with one warning. Another name with the same result gets a suffix.
    """

    _written: dict[str, str] = field(default_factory=dict)  #: MLflow name by given name
    _given: dict[str, str] = field(default_factory=dict)  #: given name by MLflow name

    def of(self, name: str) -> str:
        """Return the MLflow name for a given name, without the secrets in it."""
        name = mask_text(name)
        if name not in self._written:
            written = fitting_name(name)
            if self._given.setdefault(written, name) != name:
                written = _distinct(written, name)
                self._given[written] = name
            self._written[name] = written
            if written != name:
                log.warning("MLflow does not take the name %r: it is written as %r", name, written)
        return self._written[name]


def fitting_name(name: str) -> str:
    """Return the nearest valid name of a param, metric or tag, which must also be valid as a file path."""
    parts = (_REFUSED.sub("_", printable(part)) for part in name.split("/"))
    written = "/".join("_" * len(part) if part in (".", "..") else part for part in parts if part) or "_"
    return written if len(written) <= LONGEST_NAME else _distinct(written, name)


def fitting_model_name(name: str) -> str:
    """Return the nearest valid name of a logged model, without the secrets in it."""
    name = mask_text(name)
    written = _REFUSED_IN_MODELS.sub("_", printable(name)) or "model"
    if written != name:
        log.warning("MLflow does not take the model's name %r: it is written as %r", name, written)
    return written


def masked_path(path: str) -> str:
    """Return the path of an artifact without the secrets in it."""
    return mask_text(path).replace(MASK, "_" * len(MASK))


def as_params(
    values: Mapping[str, object], *, scalars_only: bool = False, names: Names | None = None
) -> dict[str, str]:
    """Convert values to MLflow params: nested ones by dotted names, lists as JSON, secrets as `***`.

    With `scalars_only`, lists are omitted, since a node's inputs may be whole tables of numbers.
    """
    names = names or Names()
    return {
        names.of(name): fitting_value(name, masked(name, value), LONGEST_PARAM)
        for name, value in _flat("", values)
        if not (scalars_only and isinstance(value, (list, tuple, set, frozenset)))
    }


def masked(name: str, value: object) -> str:
    """Convert one value to text: `***` if its name or type marks it as a secret."""
    if value is not None and (is_secret(name, value) or is_secret_type(value)):
        return MASK
    if isinstance(value, (list, tuple)):
        value = json.dumps(value, default=str)
    return mask_text(printable(str(value)))


def fitting_value(name: str, text: str, longest: int) -> str:
    """Truncate a text to the length that MLflow accepts, with a warning."""
    if len(text) <= longest:
        return text
    log.warning("%s has %d characters, and MLflow takes %d: the rest is left out", name, len(text), longest)
    return text[:longest]


def write_params(
    client: MlflowClient, run_id: str, values: Mapping[str, str], tags: Mapping[str, str] | None = None
) -> None:
    """Log all params, in as many requests as needed, and some tags with the first of them."""
    from mlflow.entities import Param, RunTag

    labels = [RunTag(name, value) for name, value in (tags or {}).items()]
    parts = [*in_parts([Param(name, value) for name, value in values.items()], MOST_PARAMS)]
    for part in parts or ([[]] if labels else []):
        client.log_batch(run_id, params=part, tags=labels)
        labels = []


def in_parts(items: list[T], size: int) -> Iterator[list[T]]:
    """Split items into lists of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _distinct(written: str, name: str) -> str:
    """Return a unique and deterministic name."""
    return f"{written[: LONGEST_NAME - 9]}-{sha256(printable(name).encode()).hexdigest()[:8]}"


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value)
        else:
            yield name, value
