"""The table of commands, which the help shows without importing a command."""

from __future__ import annotations

import inspect

import pytest

from orchestrator.cli.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_line_of_its_docstring(name: str) -> None:
    documentation = inspect.getdoc(COMMANDS[name].load())
    assert documentation is not None
    assert COMMANDS[name].summary == documentation.partition("\n")[0]
