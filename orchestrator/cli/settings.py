"""`settings` shows each setting, its value and its source."""

from __future__ import annotations

from difflib import get_close_matches

from rich.table import Table
from rich.text import Text

from orchestrator.authoring.graph import JSON
from orchestrator.cli.messages import print_note
from orchestrator.cli.options import AsJson
from orchestrator.client.connection import join_stack
from orchestrator.client.consoles import output
from orchestrator.client.formatting import as_line
from orchestrator.settings import known_variables, setting_sources, settings, unknown_variables


def show_settings(*, as_json: AsJson = False) -> None:
    """Show each setting and where it comes from."""
    before = {each.variable: each.source for each in setting_sources(settings())}
    stack = join_stack()
    joined = set(stack.environment) if stack is not None else set()
    found = [
        (each, "the stack that is up" if each.variable in joined else before.get(each.variable, each.source))
        for each in setting_sources(settings())
    ]
    if as_json:
        plain: list[JSON] = [
            {"variable": each.variable, "value": each.value, "source": source} for each, source in found
        ]
        print(as_line(plain))
    else:
        table = Table.grid(padding=(0, 2, 0, 0))
        for each, source in found:
            style = "bright_black" if source == "default" else ""
            table.add_row(Text(each.variable, style), Text(each.value, style), Text(source, "bright_black"))
        output().print(table, soft_wrap=True)
    for name in unknown_variables():
        near = get_close_matches(name, known_variables(), 1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        print_note(f"{name} is no setting{suggestion}")
