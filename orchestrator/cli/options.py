"""Options that several commands share, and what their words mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from orchestrator.authoring.graph import JSON
from orchestrator.authoring.masking import is_masked
from orchestrator.authoring.parameters import override
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.cli.errors import UsageError
from orchestrator.lifecycle.checks import unknown_queue
from orchestrator.lifecycle.errors import UnknownQueue

PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A name from `orchestrator pipelines`.")
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning or name, or `latest`.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter of the run; repeatable."),
]
ParametersFile = Annotated[
    str | None,
    typer.Option(
        "--params",
        metavar="FILE",
        help="Parameters from a file: .yaml, .toml or .json, or `-` for standard input (YAML or JSON). "
        "-p goes before it.",
    ),
]
Like = Annotated[
    str | None,
    typer.Option(
        "--like", metavar="RUN", help="Take the parameters of an earlier run; --params and -p go before them."
    ),
]
RunLabel = Annotated[str, typer.Option("--name", metavar="TEXT", help="What to call the run.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag of the run; repeatable.")
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="A note on the run.")]
Slots = Annotated[
    list[str] | None,
    typer.Option("--slots", metavar="QUEUE=N", help="How many stages of that queue run at once; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_parameters(words: Iterable[str] | None) -> dict[str, object]:
    """`["depth=3"]` as `{"depth": "3"}`; the pipeline's annotations give it a type later."""
    return dict(_pairs(words or (), option="-p", example="-p depth=3"))


def gather_parameters(
    pipeline: Pipeline[..., Any],
    given: Mapping[str, object],
    *,
    file: str | None = None,
    like: str | None = None,
) -> dict[str, object]:
    """What `-p` (as `given`), else `--params`, else `--like` say; `-p model.depth=3` sets a field."""
    base: dict[str, object] = {}
    if like is not None:
        base.update(_parameters_of(like, pipeline, {name.partition(".")[0] for name in given}))
    if file is not None:
        from orchestrator.lifecycle.parameter_files import read_parameters  # loads a reader of YAML

        base.update(read_parameters(file))
    return override(pipeline.function, base, given)


def _parameters_of(run: str, pipeline: Pipeline[..., Any], given: Collection[str]) -> Mapping[str, JSON]:
    from orchestrator.client.run_lookup import Records

    records = Records.open()
    record = records.get(records.resolve(run)).record
    if record.pipeline != pipeline.name:
        raise UsageError(f"--like {run}: {record.id} is a run of '{record.pipeline}', not '{pipeline.name}'")
    masked = [name for name, value in record.parameters.items() if name not in given and is_masked(value)]
    if masked:
        told = ", ".join(f"-p {name}=…" for name in masked)
        raise UsageError(
            f"--like {run}: what is secret of {', '.join(masked)} was not kept", hint=f"give it again: {told}"
        )
    return record.parameters


def parse_tags(words: Iterable[str] | None) -> dict[str, str]:
    """`["team=risk"]` as `{"team": "risk"}`."""
    return dict(_pairs(words or (), option="--tag", example="--tag team=risk"))


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
