"""The list of commands. Only typer is imported here: each command imports what it needs when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from orchestrator.cli.cancel import cancel
from orchestrator.cli.catalogue import compile_pipeline, pipelines
from orchestrator.cli.coordinator import coordinator
from orchestrator.cli.logs import logs
from orchestrator.cli.resume import resume
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
    "cancel": cancel,
    "resume": resume,
    "up": up,
    "down": down,
    "worker": worker,
    "coordinator": coordinator,
}
for name, function in COMMANDS.items():
    app.command(name)(function)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("celery-ml-orchestrator"))
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Machine-learning pipelines as plain Python functions, run over Celery workers.

    Begin with `orchestrator run hello`; settings come from ORCHESTRATOR_* variables or a .env file.
    """
    del version, debug  # the first is seen to before; main() takes the second out of the arguments
