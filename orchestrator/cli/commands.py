"""The list of commands. Only typer is imported here: each command imports what it needs when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from orchestrator.cli.catalogue import compile_pipeline, pipelines
from orchestrator.cli.logs import logs
from orchestrator.cli.run import run
from orchestrator.cli.runs import runs
from orchestrator.cli.sections import SectionedHelp
from orchestrator.cli.show import show
from orchestrator.cli.stack import down, up
from orchestrator.cli.worker import worker

# Without markup, typer leaves rich alone: its help would take three times as long to appear.
app = typer.Typer(
    cls=SectionedHelp,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

COMMANDS: Mapping[str, Callable[..., None]] = {
    "pipelines": pipelines,
    "compile": compile_pipeline,
    "run": run,
    "runs": runs,
    "show": show,
    "logs": logs,
    "up": up,
    "down": down,
    "worker": worker,
}
for name, function in COMMANDS.items():
    app.command(name)(function)


@app.callback()
def _options(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Machine-learning pipelines as plain Python functions, run over Celery workers.

    Begin with `orchestrator run hello`; settings come from ORCHESTRATOR_* variables or a .env file.
    """
    del debug  # taken out of the arguments by main()
    if version:
        from importlib.metadata import version as version_of

        typer.echo(version_of("celery-ml-orchestrator"))
        raise typer.Exit
