"""The table of commands. A command's module is imported when it is called; the help imports none."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from orchestrator.cli.light_redis import import_redis

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter


@dataclass(frozen=True)
class CommandEntry:
    """Where a command's function is, and what the help says of it."""

    function: str  #: `module:function`, the module within `orchestrator.cli`
    summary: str  #: the first line of the function's docstring, which the help shows without importing it

    def load(self) -> Callable[..., None]:
        """Import the command's module and return the function."""
        gc.disable()  # nothing that an import makes is garbage, and looking for it takes a tenth of the time
        import_redis()
        module, _, name = self.function.partition(":")
        function: Callable[..., None] = getattr(import_module(f"orchestrator.cli.{module}"), name)
        gc.freeze()
        gc.enable()
        return function


#: The commands by their sections in the help.
SECTIONS: Mapping[str, Mapping[str, CommandEntry]] = {
    "Pipelines": {
        "init": CommandEntry(
            "init:init", "Make a project of your own: a pipeline, its tests, an image, a stack for Compose."
        ),
        "pipelines": CommandEntry(
            "pipelines:pipelines", "List the pipelines, their parameters and what they are for."
        ),
        "compile": CommandEntry(
            "pipelines:compile_pipeline", "Show a pipeline's graph and the Celery canvas that it becomes."
        ),
        "run": CommandEntry("run:run", "Run a pipeline, and show its progress."),
    },
    "Runs": {
        "runs": CommandEntry("runs:runs", "List the latest runs, newest first."),
        "show": CommandEntry("show:show", "Show a run's nodes, attempts, errors and tracebacks."),
        "compare": CommandEntry(
            "compare:compare_runs", "Say what differs between two runs: code, parameters, data, outputs."
        ),
        "output": CommandEntry("output:output", "Write what a run, or one of its nodes, has returned."),
        "logs": CommandEntry("logs:logs", "Print what a run's stages printed and logged."),
        "cancel": CommandEntry(
            "run_control:cancel",
            "Stop a run: nothing of it starts any more, and what is running is terminated.",
        ),
        "resume": CommandEntry(
            "run_control:resume",
            "Carry a run on that failed, was cancelled or lost its Redis; "
            "what is committed is not run again.",
        ),
    },
    "The local stack": {
        "up": CommandEntry("stack:up", "Start a local stack that stays: Redis, workers, Flower, MLflow."),
        "down": CommandEntry("stack:down", "Stop the local stack."),
    },
    "Housekeeping": {
        "doctor": CommandEntry(
            "doctor:doctor",
            "Check Redis, clocks, store, disk, MLflow, workers and pipelines; exit status 1 on a fault.",
        ),
        "completion": CommandEntry(
            "completion:completion",
            "Print the script with which a shell completes commands, pipelines, parameters, runs and nodes.",
        ),
        "settings": CommandEntry("settings:show_settings", "Show each setting and where it comes from."),
        "prune": CommandEntry(
            "prune:prune", "Remove old runs, and what nothing refers to any more, while others go on."
        ),
    },
    "Services": {
        "worker": CommandEntry(
            "services:worker", "Serve queues with a Celery worker until it is told to stop."
        ),
        "coordinator": CommandEntry(
            "services:coordinator",
            "Supervise runs: requeue what dead workers held, send lost messages again. Several may run.",
        ),
    },
}
COMMANDS: Mapping[str, CommandEntry] = {
    name: entry for section in SECTIONS.values() for name, entry in section.items()
}

#: Commands whose help describes the pipeline that is named, too.
OF_PIPELINES = ("run", "compile")


class LazyGroup(TyperGroup):
    """Imports a command when it is called; its help has a heading over each section."""

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of that name, with its options; None if there is none."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        if cmd_name in OF_PIPELINES:
            from orchestrator.cli.pipeline_help import PipelineCommand  # only these two need it

            single.command(cmd_name, cls=PipelineCommand)(entry.load())
        else:
            single.command(cmd_name)(entry.load())
        return typer.main.get_command(single)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands, section by section."""
        del ctx
        for title, entries in SECTIONS.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=90)) for name in entries]
            with formatter.section(title):
                formatter.write_dl(rows, col_spacing=max(2, 14 - max(map(len, entries))))


# Without markup, typer leaves rich alone: its help would take three times as long to appear.
app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _placeholder() -> None:
    """Stands for a command whose module is not imported, in the help and in suggestions for a typo."""


for _name, _entry in COMMANDS.items():
    app.command(_name, help=_entry.summary)(_placeholder)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # slow, and only this option needs it

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
    del version, debug  # the callback of the first has run; main() takes the second out of the arguments
