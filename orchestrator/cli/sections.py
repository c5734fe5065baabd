"""The list of commands in the help, in sections by what one wants to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

SECTIONS: Mapping[str, Sequence[str]] = {
    "Pipelines": ("pipelines", "compile", "run"),
    "Runs": ("runs", "show", "logs", "cancel", "resume"),
    "The local stack": ("up", "down"),
    "Services": ("worker", "coordinator"),
}


class SectionedHelp(TyperGroup):
    """A group of commands whose help has a heading over each section."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands, section by section; those that no section names come last."""
        del ctx
        named = {name for names in SECTIONS.values() for name in names}
        others = tuple(name for name in self.commands if name not in named)
        for title, names in (*SECTIONS.items(), ("Others", others)):
            commands = [self.commands[name] for name in names if name in self.commands]
            rows = [(str(command.name), command.get_short_help_str(limit=90)) for command in commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_spacing=max(2, 14 - max(len(name) for name, _ in rows)))
