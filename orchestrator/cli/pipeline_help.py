"""The help of a command that runs a pipeline: with a pipeline's name, its parameters are described, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperOption

from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

_WORDS = "orchestrator.words"


class PipelineCommand(TyperCommand):
    """A command whose first argument is a pipeline."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the arguments; the help is printed on the way, and wants to know them."""
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the pipeline's parameters below the options, if one is named."""
        super().format_epilog(ctx, formatter)
        name = self._pipeline(ctx.meta.get(_WORDS, ()))
        if name is None:
            return
        from orchestrator.authoring.descriptions import describe_parameters  # imports the user's modules
        from orchestrator.client.pipeline_lookup import find_pipeline

        try:
            found = find_pipeline(name)
        except OrchestratorError as error:
            formatter.write(f"\n{type(error).__name__}: {error}\n")
            return
        rows = [
            (each.written(depth), "  ".join(filter(None, (each.type, each.default_in_words, each.text))))
            for parameter in describe_parameters(found.function)
            for depth, each in parameter.lines()
        ]
        with formatter.section(f"Parameters of {found.name}"):
            formatter.write_dl(rows or [("none", "")])

    def _pipeline(self, words: Sequence[str]) -> str | None:
        """The first word that is neither an option nor an option's value."""
        taking_value = {
            option
            for parameter in self.params
            if isinstance(parameter, TyperOption) and not parameter.is_flag
            for option in parameter.opts
        }
        previous = ""
        for word in words:
            if not word.startswith("-") and previous not in taking_value:
                return word
            previous = word
        return None
