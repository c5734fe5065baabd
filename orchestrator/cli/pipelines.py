"""`pipelines` lists what can be run; `compile` shows what a pipeline becomes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group as Lines
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.descriptions import ParameterDescription, describe_parameters
from orchestrator.authoring.graph import JSON
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.cli.messages import print_note, tell_error
from orchestrator.cli.options import (
    AsJson,
    Parameters,
    ParametersFile,
    PipelineName,
    gather_parameters,
    parse_parameters,
)
from orchestrator.client.consoles import output
from orchestrator.client.formatting import shortened
from orchestrator.client.pipeline_lookup import find_pipeline
from orchestrator.client.program import NAME, with_program_name
from orchestrator.compiler import draw
from orchestrator.compiler.arrange import arrange
from orchestrator.lifecycle.discovery import in_place_of_shipped, load_catalogue
from orchestrator.lifecycle.submission import prepare
from orchestrator.settings import SHIPPED, settings

_GREY = "bright_black"


class Format(StrEnum):
    """How `compile` shows a pipeline."""

    TREE = "tree"
    JSON = "json"
    MERMAID = "mermaid"


Name = Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Describe this one.")]


def pipelines(name: Name = None, *, as_json: AsJson = False) -> None:
    """List the pipelines, their parameters and what they are for."""
    if name is not None:
        found = find_pipeline(name)
        whole = inspect.cleandoc(found.function.__doc__ or "")
        if as_json:
            print(json.dumps({**describe(found), "description": whole}))
        else:
            output().print(pipeline_page(found))
        return
    catalogue = load_catalogue(modules := settings().modules)
    if as_json:
        print(json.dumps([describe(pipeline) for pipeline in catalogue.pipelines]))
    elif catalogue.pipelines:
        output().print(pipelines_table(catalogue.pipelines))
    else:
        output().print(f"no pipelines in {', '.join(modules)} (ORCHESTRATOR_PIPELINES)")
    if SHIPPED in modules and (known := in_place_of_shipped(Path.cwd())):
        print_note(f"{known} takes the place of the pipelines that ship")
    for problem in catalogue.broken:
        tell_error(problem)
    if catalogue.broken:
        raise typer.Exit(2)


def compile_pipeline(
    pipeline: PipelineName,
    *,
    parameters: Parameters = None,
    parameters_file: ParametersFile = None,
    form: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TREE,
) -> None:
    """Show a pipeline's graph and the Celery canvas that it becomes."""
    given = parse_parameters(parameters)
    found = find_pipeline(pipeline)
    gathered = gather_parameters(found, given, file=parameters_file)
    prepared = prepare(found, gathered, queues=settings().queues)
    match form:
        case Format.TREE:
            print(draw.tree(arrange(prepared.graph)))
        case Format.JSON:
            print(json.dumps(draw.as_json(arrange(prepared.graph)), indent=2))
        case Format.MERMAID:
            print(draw.mermaid(prepared.graph))


def describe(pipeline: Pipeline[..., Any]) -> dict[str, JSON]:
    """A pipeline as `pipelines --json` prints it."""
    return {
        "name": pipeline.name,
        "module": pipeline.module,
        "summary": pipeline.summary,
        "parameters": [each.to_json() for each in describe_parameters(pipeline.function)],
    }


def pipeline_page(pipeline: Pipeline[..., Any]) -> Lines:
    """All about one pipeline: what it is for, each parameter, the command that runs it."""
    parts: list[Text | Padding] = [_heading(pipeline)]
    if more := inspect.cleandoc(pipeline.function.__doc__ or "").partition("\n")[2].strip():
        parts += [Text(), Padding(Text(more), (0, 0, 0, 2), expand=False)]
    parameters = describe_parameters(pipeline.function)
    if parameters:
        parts += [Text(), Padding(parameters_table(parameters), (0, 0, 0, 2), expand=False)]
    required = "".join(f" -p {each.name}=…" for each in parameters if each.required)
    command = with_program_name(f"{NAME} run {pipeline.name}{required}")
    return Lines(*parts, Text(), Text.assemble(("  run it  ", _GREY), command))


def parameters_table(parameters: Iterable[ParameterDescription]) -> Table:
    """A line for each parameter, and for each field of a record: its type, its default, what it is."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in range(4):
        table.add_column(no_wrap=column == 0, overflow="fold")
    for parameter in parameters:
        for depth, each in parameter.lines():
            kind = Text(shortened(each.type, 60), _GREY)
            table.add_row(each.written(depth), kind, _default(each), Text(each.text))
    return table


def _default(parameter: ParameterDescription) -> Text:
    return Text(shortened(parameter.default_in_words, 60), "yellow" if parameter.required else "")


def _heading(pipeline: Pipeline[..., Any]) -> Text:
    return Text.assemble((pipeline.name, "bold"), f"  {pipeline.summary}  ", (pipeline.module, _GREY))


def pipelines_table(pipelines: Iterable[Pipeline[..., Any]]) -> Lines:
    """A paragraph for each pipeline: its name, what it is for, its parameters."""
    parts: list[Text | Padding] = []
    for pipeline in pipelines:
        if parts:
            parts.append(Text())
        parts.append(_heading(pipeline))
        table = Table.grid(padding=(0, 2, 0, 0))
        for each in describe_parameters(pipeline.function):
            table.add_row(each.written(0), Text(each.type, _GREY), _default(each))
        if table.row_count:
            parts.append(Padding(table, (0, 0, 0, 4), expand=False))
    return Lines(*parts)
