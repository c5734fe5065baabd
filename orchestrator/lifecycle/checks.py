"""Check a graph before submission: queues exist, outputs can be stored, nothing contains a password."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from posixpath import normpath

from orchestrator.artifacts import unsupported
from orchestrator.authoring.annotations import hints_of
from orchestrator.authoring.errors import InvalidParameters, InvalidPipeline
from orchestrator.authoring.graph import JSON, Constant, Graph
from orchestrator.authoring.masking import SEE_CONTEXT, holds_password, secret_arguments
from orchestrator.authoring.stage import stages
from orchestrator.lifecycle.errors import InvalidLabels
from orchestrator.runs.record import Labels
from orchestrator.text import printable

log = logging.getLogger("orchestrator.client")

#: What MLflow takes: characters of a tag's name, and of its value or a note.
LONGEST_KEY, LONGEST_VALUE = 250, 5000
RESERVED_TAGS = ("mlflow.", "orchestrator.")

_TAG = re.compile(r"[\w\-. :/]+")
_KEPT = "holds a URL with a password, which would be kept with the run"


def check_parameters(pipeline: str, parameters: Mapping[str, JSON]) -> None:
    """Raise InvalidParameters for a URL with a password: parameters are stored with the run.

    Of one that is a secret by its name, only that is told: it is masked wherever it is shown.
    """
    for name, value in parameters.items():
        if holds_password(value):
            raise InvalidParameters(f"pipeline '{pipeline}': parameter '{name}' {_KEPT}", hint=SEE_CONTEXT)
    for name in secret_arguments(parameters):
        log.warning("the parameter '%s' stands in the artifact store as it is; rather %s", name, SEE_CONTEXT)


def check_graph(graph: Graph, *, queues: Sequence[str]) -> None:
    """Raise InvalidPipeline with all mistakes that would make this graph fail later."""
    mistakes: list[str] = []
    for node in graph.everything:
        for name, value in {**node.inputs, **node.lists}.items():
            if isinstance(value, Constant) and holds_password(value.value):
                mistakes.append(f"{node.name}({name.rpartition('.')[2]}=…) {_KEPT}: {SEE_CONTEXT}")
        if node.policy.queue not in queues:
            mistakes.append(f"{node.name} asks for {unknown_queue(node.policy.queue, queues)}")
    for name in dict.fromkeys(node.stage for node in graph.everything):
        stage = stages[name]
        short = stage.function.__name__
        hints = hints_of(stage.function)
        if "return" not in hints:
            mistakes.append(f"{short} does not say what it returns: annotate it (-> None if nothing)")
        elif reason := unsupported(hints["return"]):
            mistakes.append(f"{short} returns what cannot be stored: {reason}")
    if mistakes:
        raise InvalidPipeline(graph.pipeline, mistakes)


def check_labels(labels: Labels) -> None:
    """Raise InvalidLabels for a name, a tag or a note that MLflow would not take, or with a password."""
    if not isinstance(labels.name, str) or not isinstance(labels.note, str):
        raise InvalidLabels("a run's name and its note are texts")
    if len(labels.name) > LONGEST_KEY or "\n" in labels.name:
        raise InvalidLabels(f"a run's name has at most {LONGEST_KEY} characters, in one line")
    if labels.name == "latest":
        raise InvalidLabels("a run cannot be called 'latest', which is the newest of all")
    for key, value in labels.tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidLabels(f"the tag {key!r}: its name and its value are texts")
        if not _TAG.fullmatch(key) or len(key) > LONGEST_KEY:
            raise InvalidLabels(
                f"the tag {key!r}: its name has letters, digits, spaces and _ - . : /, at most {LONGEST_KEY}"
            )
        # MLflow keeps tags as files in some of its stores, and refuses these in all.
        if normpath(key) != key or key.startswith(("/", "..")) or key == ".":
            raise InvalidLabels(f"the tag {key!r}: a name with / or . is a plain path, such as team/risk")
        if key.startswith(RESERVED_TAGS):
            raise InvalidLabels(
                f"the tag {key!r}: names that begin with {' or '.join(RESERVED_TAGS)} are taken"
            )
        if len(value) > LONGEST_VALUE:
            raise InvalidLabels(f"the tag {key!r}: its value has more than {LONGEST_VALUE} characters")
    texts: list[JSON] = [labels.name, labels.note, *labels.tags.values()]
    if len(labels.note) > LONGEST_VALUE:
        raise InvalidLabels(f"the note has more than {LONGEST_VALUE} characters")
    if any("\0" in text or printable(text) != text for text in map(str, texts)):
        raise InvalidLabels("a name, a tag or a note holds bytes that are no text: write it in UTF-8")
    if holds_password(texts):
        raise InvalidLabels("a name, a tag or a note " + _KEPT, hint=SEE_CONTEXT)


def unknown_queue(queue: str, queues: Sequence[str]) -> str:
    """Describe a queue that is not among `queues`, with the nearest match."""
    near = get_close_matches(queue, queues, 1)
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    return f"the queue '{queue}', but there are only {', '.join(queues)} (ORCHESTRATOR_QUEUES){suggestion}"
