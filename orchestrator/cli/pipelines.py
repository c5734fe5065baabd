"""`pipelines` lists what can be run; `compile` shows what a pipeline becomes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic_core import to_jsonable_python
from rich.console import Group as Lines
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.annotations import hints_of, shown
from orchestrator.authoring.graph import JSON
from orchestrator.authoring.masking import mask_value
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.cli.messages import print_note, tell_error
from orchestrator.cli.options import AsJson, Parameters, PipelineName, parse_parameters
from orchestrator.client.consoles import output
from orchestrator.client.formatting import shortened
from orchestrator.client.pipeline_lookup import find_pipeline
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


def pipelines(*, as_json: AsJson = False) -> None:
    """List the pipelines, their parameters and what they are for."""
    catalogue = load_catalogue(modules := settings().modules)
    described = [describe(pipeline) for pipeline in catalogue.pipelines]
    if as_json:
        print(json.dumps(described))
    elif described:
        output().print(pipelines_table(described))
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
    form: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TREE,
) -> None:
    """Show a pipeline's graph and the Celery canvas that it becomes."""
    given = parse_parameters(parameters)
    prepared = prepare(find_pipeline(pipeline), given, queues=settings().queues)
    match form:
        case Format.TREE:
            print(draw.tree(arrange(prepared.graph)))
        case Format.JSON:
            print(json.dumps(draw.as_json(arrange(prepared.graph)), indent=2))
        case Format.MERMAID:
            print(draw.mermaid(prepared.graph))


def describe(pipeline: Pipeline[..., Any]) -> dict[str, JSON]:
    """A pipeline as `pipelines --json` prints it."""
    hints = hints_of(pipeline.function)
    parameters: list[JSON] = []
    for name, parameter in inspect.signature(pipeline.function).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        default = None if required else to_jsonable_python(parameter.default, fallback=repr)
        default = default and mask_value(name, default)
        kind = shown(hints.get(name, Any))
        parameters.append({"name": name, "type": kind, "required": required, "default": default})
    return {
        "name": pipeline.name,
        "module": pipeline.module,
        "summary": pipeline.summary,
        "parameters": parameters,
    }


def pipelines_table(described: Iterable[Mapping[str, JSON]]) -> Lines:
    """A paragraph for each pipeline: its name, what it is for, its parameters."""
    parts: list[Text | Padding] = []
    for pipeline in described:
        if parts:
            parts.append(Text())
        parts.append(
            Text.assemble(
                (str(pipeline["name"]), "bold"),
                f"  {pipeline['summary']}  ",
                (str(pipeline["module"]), _GREY),
            )
        )
        table = Table.grid(padding=(0, 2, 0, 0))
        for parameter in cast("list[Mapping[str, JSON]]", pipeline["parameters"]):
            default = "required" if parameter["required"] else f"= {parameter['default']!r}"
            style = "yellow" if parameter["required"] else ""
            table.add_row(
                f"-p {parameter['name']}",
                Text(str(parameter["type"]), _GREY),
                Text(shortened(default, 60), style),
            )
        if table.row_count:
            parts.append(Padding(table, (0, 0, 0, 4), expand=False))
    return Lines(*parts)
