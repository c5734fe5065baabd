"""Options that several commands share, and what their words mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import typer

from orchestrator.cli.errors import UsageError
from orchestrator.lifecycle.checks import unknown_queue
from orchestrator.lifecycle.errors import UnknownQueue

PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A name from `orchestrator pipelines`.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `latest`.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter of the run; repeatable."),
]
Slots = Annotated[
    list[str] | None,
    typer.Option("--slots", metavar="QUEUE=N", help="How many stages of that queue run at once; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_parameters(words: Iterable[str] | None) -> dict[str, object]:
    """`["depth=3"]` as `{"depth": "3"}`; the pipeline's annotations give it a type later."""
    return dict(_pairs(words or (), option="-p", example="-p depth=3"))


def parse_slots(words: Iterable[str] | None) -> dict[str, int]:
    """`["training=4"]` as `{"training": 4}`."""
    found: dict[str, int] = {}
    for queue, count in _pairs(words or (), option="--slots", example="--slots training=4"):
        if not count.isdecimal() or int(count) < 1:
            raise UsageError(f"--slots {queue}={count}: the number of slots is a whole number above 0")
        found[queue] = int(count)
    return found


def check_slots(wished: Mapping[str, int], queues: Sequence[str]) -> None:
    """Raise UnknownQueue unless each is for one of the queues."""
    for queue in wished:
        if queue not in queues:
            raise UnknownQueue(f"--slots names {unknown_queue(queue, queues)}")


def _pairs(words: Iterable[str], *, option: str, example: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {word}: write it as {example}")
        if name in found:
            raise UsageError(f"{option} {name}=… is given twice, as {found[name]!r} and as {value!r}")
        found[name] = value
    return list(found.items())
