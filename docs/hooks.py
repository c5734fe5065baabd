"""Makes pages of the reference from the code when MkDocs builds: the settings, and the commands."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo
from typer._click import Command, Context, Parameter

from orchestrator.cli.commands import SECTIONS, app
from orchestrator.settings import IN_FILES, Settings, known_variables

PROGRAM = "orchestrator"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the folder."""
    for address, page in (
        ("reference/settings.md", settings_page()),
        ("reference/commands.md", commands_page()),
    ):
        files.append(File.generated(config, address, content=page))
    return files


def settings_page() -> str:
    """Each setting: its variable, type, default and meaning, as the class `Settings` has them."""
    rows = [
        [f"`{variable}`", kind_of(field), default_of(field), str(field.description)]
        for variable, field in zip(known_variables(), Settings.model_fields.values(), strict=True)
    ]
    files = ", ".join(f"`{name}`" for name in IN_FILES)
    return f"""# Settings

Commands and services read them from the environment, or from a file `.env` in the folder where they are
started; the environment goes before the file. `orchestrator settings` shows each with its value and source.

{table(["variable", "type", "default", "what it is"], rows)}

These may also be given as `NAME_FILE`, the path of a file with the value: {files}.

[operations.md](../operations.md#settings) lists the variables of the Compose stack.
"""


def commands_page() -> str:
    """Each command with its arguments and options, as the parser has them."""
    group = typer.main.get_command(app)
    above = Context(group, info_name=PROGRAM, **group.context_settings)
    parts = [
        "# Commands",
        f"```text\n{usage(group, above)}\n```",
        str(group.help),
        options_table(group, above),
    ]
    for title, entries in SECTIONS.items():
        parts.append(f"## {title}")
        for name in entries:
            command = group.get_command(above, name)  # type: ignore[attr-defined]
            parts += command_section(command, Context(command, info_name=name, parent=above))
    return "\n\n".join(filter(None, parts)) + "\n"


def command_section(command: Command, context: Context) -> Iterator[str]:
    """What stands under one command's heading."""
    yield f"### {PROGRAM} {context.info_name} {{#{context.info_name}}}"
    yield f"```text\n{usage(command, context)}\n```"
    yield str(command.help)
    yield options_table(command, context)


def usage(command: Command, context: Context) -> str:
    """Such as `orchestrator show [OPTIONS] {RUN}`."""
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def options_table(command: Command, context: Context) -> str:
    """Arguments and options with their help; nothing for a command without any."""
    records = (help_of(parameter, context) for parameter in command.get_params(context))
    return table(["", ""], [[f"`{names}`", text] for names, text in filter(None, records)])


def help_of(parameter: Parameter, context: Context) -> tuple[str, str] | None:
    """The words of a parameter in the help, and what it is for; None for one that the help hides."""
    return parameter.get_help_record(context)


def kind_of(field: FieldInfo) -> str:
    """What may be written, such as `number, 1 or more`."""
    limits = [limit for each in field.metadata if (limit := _limit(each))]
    return ", ".join([_kind(field.annotation), *limits])


def default_of(field: FieldInfo) -> str:
    """The default, as it is written in the environment; `none` for a setting without one."""
    value = field.default
    words = ",".join(value) if isinstance(value, tuple) else "" if value is None else f"{value}"
    return f"`{words.removesuffix('.0')}`" if words else "none"


def _kind(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        (kind,) = (each for each in get_args(annotation) if each is not types.NoneType)
        return _kind(kind)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "words, comma-separated"
    return {str: "text", SecretStr: "secret", Path: "path", ByteSize: "size", float: "number"}[annotation]


def _limit(constraint: object) -> str:
    match constraint:
        case Ge(ge=least):
            return f"{least:.0f} or more"
        case Gt(gt=least):
            return f"more than {least:.0f}"
        case _:
            return ""


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; nothing without rows."""
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
