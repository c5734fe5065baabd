"""The pages of the reference that are made from the code: nothing is missing, and each thing is explained."""

from __future__ import annotations

import pytest

from docs.hooks import commands_page, settings_page
from orchestrator.cli.commands import COMMANDS
from orchestrator.settings import Settings, known_variables


@pytest.fixture(scope="module")
def settings_rows() -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in settings_page().splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_each_setting_has_a_row(settings_rows):
    assert list(settings_rows) == known_variables()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_each_setting_says_what_it_is(field):
    assert Settings.model_fields[field].description


def test_a_row_has_type_limit_and_default(settings_rows):
    assert settings_rows["ORCHESTRATOR_LEASE_SECONDS"][:2] == ["number, 1 or more", "`10`"]
    assert settings_rows["ORCHESTRATOR_QUEUES"][:2] == [
        "words, comma-separated",
        "`data,training,deployment`",
    ]
    assert settings_rows["ORCHESTRATOR_MEMORY_LIMIT"][:2] == ["size, 400000000 or more", "none"]


def test_each_command_has_a_section_with_its_summary():
    sections = dict(part.split(" {#", 1) for part in commands_page().split("\n### orchestrator ")[1:])
    assert list(sections) == list(COMMANDS)
    for name, entry in COMMANDS.items():
        assert entry.summary in sections[name]


def test_options_are_those_of_the_parser():
    page = commands_page()
    assert "| `-p, --parameter NAME=VALUE` | A parameter of the run; repeatable. |" in page
    assert "| `-h, --help` | Show this message and exit. |" in page
